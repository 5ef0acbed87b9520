"""The trial of lesson 09: a method with the parameters of LoRA, under a budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
    HEAD,
    SIZE,
    STEPS,
    fine_tuning,
    load_benchmark,
    step_cost,
)
from ftkit.lessons.sparse.trial import LINEAR, weight_patterns
from ftkit.lessons.the_lora_family.trial import features, fitting_rank
from ftkit.model.adapted import select
from ftkit.model.change import Space
from ftkit.model.entries import exact_count, top
from ftkit.model.entry_scores import gradient
from ftkit.model.low_rank import matrices
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import LastBlocks
from ftkit.techniques.lora import LoRA
from ftkit.techniques.loraplus import LoRAPlus
from ftkit.techniques.sparse import Rows, Sparse
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, Probe

EXAMPLES = (64, 256, 1024)
"""The numbers of training rows; each seed draws its own."""
RANKS = (1, 4, 16)
"""Ranks of the LoRA that sets the parameter budget of all methods."""
MIDDLE, MOST_EXAMPLES = RANKS[1], EXAMPLES[-1]
SCORED_ROWS = 64
"""The number of training rows from which "sparse, gradient" chooses its entries."""

METHODS = (
    "LoRA",
    "DoRA",
    "LoRA+",
    "BitFit",
    "sparse, random",
    "sparse, gradient",
    "whole rows",
    "last block",
)
LARGER_ALPHA = "LoRA, alpha 256"
"""LoRA with 16 times its alpha: a control, added after LoRA+ had won.

LoRA+, where B has 16 times A's learning rate, does nearly the same.
"""
REFERENCES = (FROZEN, FULL)
WITHOUT_RANK = ("BitFit", "last block")
"""The methods whose number of parameters does not depend on the rank."""

PARAMETERS, OPERATIONS = "equal parameters, 80 steps", "equal parameters and operations"
BUDGETS = (PARAMETERS, OPERATIONS)
"""What all methods have in common: trainable parameters, and the steps or the operations of a run.

The methods `WITHOUT_RANK` and full fine-tuning have their own number of parameters.
"""
CONTROL_BUDGET = "a control, 80 steps"
"""The budget of `LARGER_ALPHA`, which is no rival but explains where a rival's lead comes from."""


@dataclass(frozen=True)
class ParameterBudget:
    """The trainable parameters of LoRA of a rank on the linear layers of a benchmark's body.

    Args:
        bench: the name of the benchmark.
        rank: the rank of LoRA.
    """

    bench: str
    rank: int

    @property
    def parameters(self) -> int:
        """The number of parameters of LoRA."""
        return self.rank * features(self.bench).both

    @property
    def entry_density(self) -> float:
        """The density at which a sparse mask has as many parameters as LoRA, at most 1."""
        base, _ = load_benchmark(self.bench)
        weights = select(base, weight_patterns(self.bench, LINEAR))
        return min(1.0, self.parameters / sum(weight.numel() for weight in weights.values()))

    @property
    def row_share(self) -> float:
        """The largest share of rows, equal in all matrices, with no more parameters than LoRA.

        If even one row in each matrix has more, the smallest share there is.
        """
        return _largest_row_share(self)


@lru_cache(maxsize=16)
def _largest_row_share(budget: ParameterBudget) -> float:
    layers = matrices(load_benchmark(budget.bench)[0], "body.*", "whole rows").values()
    # Between two of these shares the number of rows is the same in every matrix.
    shares = {
        count / layer.out_features for layer in layers for count in range(1, layer.out_features + 1)
    }
    fitting = [
        share
        for share in shares
        if sum(exact_count(share, layer.out_features) * layer.in_features for layer in layers)
        <= budget.parameters
    ]
    return max(fitting, default=min(shares))


@lru_cache(maxsize=16)
def steepest(bench: str, rank: int, examples: int, seed: int) -> Space:
    """The entries with the largest gradient on the first training rows.

    Their number is that of LoRA's parameters.
    """
    base, task = load_benchmark(bench)
    data = task.take(examples, seed)
    rows = torch.arange(min(SCORED_ROWS, examples))
    batches = [data.batch("train", part) for part in rows.split(SIZE)]
    scores = gradient(base.fresh_heads(seed), batches, weight_patterns(bench, LINEAR))
    return top(scores, ParameterBudget(bench, rank).entry_density)


def spaces(bench: str, method: str, rank: int, examples: int, seed: int) -> tuple[Space, ...]:
    """Where the change of a method, or of a reference method, may be.

    Args:
        bench: the name of the benchmark.
        method: one of `METHODS`, `REFERENCES` or `LARGER_ALPHA`.
        rank: the rank of the LoRA that sets the parameter budget.
        examples: the number of training rows.
        seed: decides which entries or rows are chosen.

    Raises:
        ValueError: there is no such method.
    """
    if method == FULL:
        return ()
    if method == FROZEN:
        return (HEAD,)
    if method in (*METHODS, LARGER_ALPHA):
        return (_space(bench, method, rank, examples, seed), HEAD)
    raise ValueError(
        f"method must be one of {', '.join((*METHODS, *REFERENCES))}, got {method!r}; "
        "choose one of these"
    )


def _space(bench: str, method: str, rank: int, examples: int, seed: int) -> Space:
    budget = ParameterBudget(bench, rank)
    match method:
        case "sparse, random":
            patterns = weight_patterns(bench, LINEAR)
            return Sparse(budget.entry_density, "random", patterns, seed)
        case "sparse, gradient":
            return steepest(bench, rank, examples, seed)
        case "whole rows":
            return Rows(budget.row_share, "random", weight_patterns(bench, LINEAR), seed)
    without_choice: dict[str, Space] = {
        "LoRA": LoRA(rank),
        "DoRA": DoRA(fitting_rank(bench, rank, per_output=1, trains_a=True)),
        "LoRA+": LoRAPlus(rank),
        "BitFit": BitFit(),
        "last block": LastBlocks(1),
        LARGER_ALPHA: LoRA(rank, alpha=16 * 16.0),
    }
    return without_choice[method]


def steps(bench: str, method: str, rank: int, examples: int, budget: str) -> int:
    """The number of steps of a run: 80, or those with the operations of 80 steps of LoRA.

    Operations are counted on a batch that is the same for all methods.

    Raises:
        ValueError: there is no such budget.
    """
    if budget not in (*BUDGETS, CONTROL_BUDGET):
        raise ValueError(
            f"budget must be one of {'; '.join(BUDGETS)}, got {budget!r}; choose one of these"
        )
    if budget != OPERATIONS:
        return STEPS
    of_lora, of_method = (
        step_cost(bench, *spaces(bench, name, rank, examples, 0)).values["cost/flops"]
        for name in ("LoRA", method)
    )
    return max(1, round(STEPS * of_lora / of_method))


def trial(  # noqa: PLR0913 - the parameters of a trial are its settings
    bench: str,
    method: str,
    rank: int,
    examples: int,
    lr: float,
    budget: str = PARAMETERS,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Run a method with the parameters of LoRA of `rank`, on `examples` training rows.

    With a frozen body `lr` is the learning rate of the head.
    """
    yield from fine_tuning(
        bench,
        *spaces(bench, method, rank, examples, seed),
        lr=lr,
        head_lr=lr if method == FROZEN else HEAD_LR,
        seed=seed,
        probe=probe,
        test=test,
        examples=examples,
        steps=steps(bench, method, rank, examples, budget),
    )
