"""Recipes that let a body go in stages, read in and out of distribution; and a far task, for lesson 01."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from ftkit.experiments.benchmark import (
    BENCHMARKS,
    HEAD,
    SIZE,
    STEPS,
    VALID_ROWS,
    load_benchmark,
    tested,
)
from ftkit.lessons.transfer_learning.trial import BLOCKS, spaces
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.change import Space
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.techniques.freeze import LastBlocks, Only, discriminative
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, Rate, evaluate, train

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The shares of what was learned at which an interpolation is read."""
PERMUTED = 0.25
FAR, FAR_EXAMPLES = ("frozen body", "full fine-tuning", "random weights"), 400


@dataclass(frozen=True)
class Stage:
    """Some steps in which only `spaces` move (none: everything), with a warm-up and a decay of their own."""

    spaces: tuple[Space, ...]
    steps: int
    lr: Rate
    head_lr: float = HEAD_LR


def chain(net: Net, data: Task, stages: list[Stage], seed: int) -> Generator[Event, None, Adapted]:
    """Stages one after another, each on what the one before it left. Yields the events of all, their steps counted through; returns
    the model of the last stage, whose base is what that stage began with."""
    done, validations = 0, 12 // len(stages)
    for number, stage in enumerate(stages):
        order = seed + 1000 * number  # or each stage would read the rows of the first again
        model = Adapted(net, *stage.spaces, seed=seed)
        lr, head_lr = stage.lr, stage.head_lr
        events = train(
            model,
            data,
            steps=stage.steps,
            lr=lr,
            head_lr=head_lr,
            size=SIZE,
            seed=order,
            validations=validations,
            valid_rows=VALID_ROWS,
        )
        for event in events:
            yield replace(event, step=event.step + done)
        net, done = model.merged(), done + stage.steps
    return model


def stages(net: Net, method: str, lr: float, probe: float) -> list[Stage]:
    """The stages of a recipe, 80 steps in all; LP-FT has 80 of the head alone before, at the rate `probe`. `()` lets everything move.

    Raises:
        ValueError: there is no such recipe.
    """
    each = STEPS // (BLOCKS + 1)
    plans: dict[str, list[Stage]] = {
        "full fine-tuning": [Stage((), STEPS, lr)],
        "frozen body": [Stage((HEAD,), STEPS, lr, lr)],
        "LP-FT": [Stage((HEAD,), STEPS, probe, probe), Stage((), STEPS, lr)],
        "gradual unfreezing": [
            Stage(spaces(frozen), each, lr) for frozen in reversed(range(BLOCKS + 1))
        ],
        "discriminative rates": [Stage((), STEPS, discriminative(net, lr))],
        "first block": [Stage((Only(f"{LastBlocks.blocks(net)[0]}*"), HEAD), STEPS, lr)],
    }
    if method not in plans:
        raise ValueError(
            f"method must be one of {', '.join(plans)}, got {method!r}; for frozen parts use trial"
        )
    return plans[method]


def recipe(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False, probe: float = 3e-2
) -> Iterator[Event]:
    """A recipe on a bench: one run. With `test` also what happens out of distribution, on the bench for which that was built."""
    base, task = load_benchmark(bench)
    net = base.fresh_heads(seed)
    model = yield from chain(
        net, task.take(BENCHMARKS[bench].examples, seed), stages(net, method, lr, probe), seed
    )
    if test:
        yield tested(accuracy=evaluate(model, task))
    if test and bench == "library":
        yield Event(STEPS, "shift", {"shift/accuracy": evaluate(model, shifted()).accuracy})
        if method == "LP-FT":
            yield Event(STEPS, "blend", blend(model, task, shifted()))


@lru_cache(maxsize=1)
def shifted() -> Task:
    """The docs task, built out of distribution: the same sentences and labels, a quarter of the distinct words exchanged for others
    about as frequent. No label of it is ever trained on."""
    return load_task(BENCHMARKS["library"].task, permute=PERMUTED)


def blend(
    model: Adapted, inside: Task, outside: Task, stage: str = "test", rows: int | None = None
) -> dict[str, float]:
    """WiSE-FT: accuracy of the base plus a share of what was learned, `blend/<share>/in` and `.../out`, for each of `SHARES`.

    Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903.
    """
    delta, found = model.delta(), {}
    for share in SHARES:
        net = (share * delta).on(model.base)
        for side, task in (("in", inside), ("out", outside)):
            found[f"blend/{share:g}/{side}"] = evaluate(net, task, stage, rows).accuracy
    return found


def far(method: str, lr: float, seed: int = 0, test: bool = False) -> Iterator[Event]:
    """Handwriting as words on the text base: one run of "frozen body", "full fine-tuning", or full fine-tuning of "random weights"."""
    base, task = _far()
    net = base.untrained(seed) if method == "random weights" else base.fresh_heads(seed)
    plan = stages(net, "frozen body" if method == "frozen body" else "full fine-tuning", lr, lr)
    model = yield from chain(net, task.take(FAR_EXAMPLES, seed), plan, seed)
    if test:
        yield tested(accuracy=evaluate(model, task))


@lru_cache(maxsize=1)
def _far() -> tuple[Net, Task]:
    task = load_task("digits-as-text")
    return load_base("mini", task), task
