"""Lesson 04: BitFit on three benches, over the number of examples, between full fine-tuning and the frozen body; and group by group."""

import re
from collections.abc import Iterator
from concurrent.futures import Executor
from fnmatch import fnmatch

import pandas as pd
import torch

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, FULL, HEAD, fine_tuning, load_benchmark
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.sweep import grid
from ftkit.model.adapted import Adapted
from ftkit.techniques.bitfit import BitFit
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, Probe

GROUPS = {
    "mini": {
        "query": "body.*.query.bias",
        "key": "body.*.key.bias",
        "value": "body.*.value.bias",
        "attention output": "body.*.attention.output.dense.bias",
        "feed-forward in": "body.*.intermediate.dense.bias",
        "feed-forward out": "body.*.layer.?.output.dense.bias",
        "norms and embedding": "body.*LayerNorm.bias",
    },
    "mini-vit": {
        "query": "body.*.q_proj.bias",
        "key": "body.*.k_proj.bias",
        "value": "body.*.v_proj.bias",
        "attention output": "body.*.o_proj.bias",
        "feed-forward in": "body.*.fc1.bias",
        "feed-forward out": "body.*.fc2.bias",
        "norms and embedding": "body.*layernorm*.bias,body.embeddings.*.bias",
    },
}
"""For each base its biases by what they are added to; the groups share none, and together they are all that BitFit moves."""

ALL_GROUPS = "+".join(GROUPS["mini"])
TWO_GROUPS = "query+feed-forward in"
"""Half of the numbers; the authors of BitFit found these two groups to do nearly as well as all."""

EXAMPLES = (32, 128, 512, 2000, 8000)
EXAMPLES_BY_BENCH = {"opening": EXAMPLES[:-1], "library": EXAMPLES, "digits": (32, 512)}
"""What is recorded: with 8,000 examples `opening` would be another task, since all rows are not as balanced as some can be drawn."""

LRS: dict[str, tuple[float, ...]] = {
    "opening": (1e-2, 3e-2, 1e-1, 3e-1),
    "library": (1e-3, 3e-3, 1e-2, 3e-2),
    "digits": (1e-3, 3e-3, 1e-2, 3e-2),
}
"""The rates that every group and number of examples tries first; where the best lies at an edge, more are tried."""
SAME_HEAD = "frozen body, head as with BitFit"
"""The rail that differs from BitFit in nothing but the biases: its head has the rate that BitFit's has, its own best one or not."""

GROUP_LRS = (3e-2, 1e-1, 3e-1, 1.0)
GROUPS_BENCH, GROUPS_EXAMPLES = "opening", 2000
REFERENCE_LRS: dict[str, dict[str, tuple[float, ...]]] = {
    FULL: {
        "opening": (1e-3, 3e-3, 1e-2),
        "library": (1e-4, 3e-4, 1e-3, 3e-3),
        "digits": (3e-4, 1e-3, 3e-3),
    },
    FROZEN: {
        "opening": (3e-2, 1e-1, 3e-1, 1.0, 3.0),
        "library": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        "digits": (1e-2, 3e-2, 1e-1, 3e-1),
    },
    SAME_HEAD: dict.fromkeys(EXAMPLES_BY_BENCH, (HEAD_LR,)),
}
SEEDS = tuple(range(8))


def bias_pattern(bench: str, groups: str) -> str:
    """The biases of a bench's body that `groups`, joined by "+", name.

    Raises:
        ValueError: there is no such group.
    """
    of = GROUPS[BENCHMARKS[bench].base]
    if unknown := [group for group in groups.split("+") if group not in of]:
        raise ValueError(f"groups must be some of {', '.join(of)}, joined by +, got {unknown[0]!r}")
    return ",".join(of[group] for group in groups.split("+"))


def available_examples(bench: str, examples: int) -> int:
    """`examples`, or as many as the bench's task has to train on, if it has fewer."""
    return min(examples, len(load_benchmark(bench)[1].train))


def trial(
    bench: str,
    groups: str,
    examples: int,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """BitFit on a bench: one run. `groups`, joined by "+", are those of the body's biases that may move."""
    space = BitFit(bias_pattern(bench, groups))
    yield from fine_tuning(
        bench, space, HEAD, lr=lr, seed=seed, probe=probe, test=test, examples=available_examples(bench, examples)
    )


def reference(
    bench: str, method: str, examples: int, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """What BitFit stands between: "full fine-tuning", or a frozen body, whose head alone trains: at the rate `lr`."""
    yield from benchmark.reference(
        bench, FROZEN if method == SAME_HEAD else method, lr, seed, test, available_examples(bench, examples)
    )


def movement_by_group(model: Adapted) -> dict[str, float]:
    """How far the biases of each group and block have moved, and how strong their last gradient was, as root mean squares over their
    entries: `probe/change/<block>/<group>` and `probe/gradient/<block>/<group>`; what lies before or behind the blocks is a block too."""
    entries: dict[str, list[torch.Tensor]] = {}
    for name, before, now in model.changed():
        group = next(
            (
                group
                for group, bias_pattern in GROUPS[model.base.name].items()
                if any(fnmatch(name, p) for p in bias_pattern.split(","))
            ),
            None,
        )
        if group is not None:
            gradient = next(model.changes[name].parameters()).grad
            entries.setdefault(f"probe/change/{zero_based_block(name)}/{group}", []).append(now - before)
            entries.setdefault(f"probe/gradient/{zero_based_block(name)}/{group}", []).append(
                torch.zeros(1) if gradient is None else gradient
            )
    return {name: float(torch.cat(parts).square().mean().sqrt()) for name, parts in entries.items()}


def zero_based_block(name: str) -> str:
    """Where in the body a weight stands.

    >>> block("body.encoder.layer.2.output.dense.bias"), block("body.embeddings.LayerNorm.bias"), block("body.layernorm.bias")
    ('block 2', 'embedding', 'behind')
    """
    number = re.search(r"\.(\d+)\.", name)
    return f"block {number[1]}" if number else "embedding" if "embedding" in name else "behind"


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study: rates are chosen on valid, with half of the seeds; test is read once, with all seeds, for what was chosen."""
    half, cells = (
        few(seeds),
        [(bench, examples) for bench, sizes in EXAMPLES_BY_BENCH.items() for examples in sizes],
    )
    ours = [
        job
        for bench, n in cells
        for job in grid(bench=[bench], groups=[ALL_GROUPS], examples=[n], lr=LRS[bench], seed=half)
    ]
    ours += grid(
        bench=[GROUPS_BENCH],
        groups=[*GROUPS["mini"], TWO_GROUPS],
        examples=[GROUPS_EXAMPLES],
        lr=GROUP_LRS,
        seed=half,
    )
    references = [
        job
        for method, lrs in REFERENCE_LRS.items()
        for bench, examples in cells
        for job in grid(
            bench=[bench], method=[method], examples=[examples], lr=lrs[bench], seed=half
        )
    ]
    tables = [
        settled(
            reference, references, ["bench", "method", "examples"], seeds, executor, keep=("test",)
        ),
        settled(trial, ours, ["bench", "groups", "examples"], seeds, executor, keep=("test",)),
    ]
    return pd.concat(tables, ignore_index=True).fillna({"method": "BitFit", "groups": ""})
