"""The trial of lesson 04: BitFit on a benchmark, by examples and by group of biases."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch

import torch
from torch import Tensor

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, HEAD, fine_tuning, load_benchmark
from ftkit.model.adapted import Adapted
from ftkit.techniques.bitfit import BitFit
from ftkit.training.events import Event
from ftkit.training.loop import Probe

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
"""By base, patterns of the biases of each kind of layer.

The groups have no bias in common; together they are all that BitFit trains.
"""

ALL_GROUPS = "+".join(GROUPS["mini"])
TWO_GROUPS = "query+feed-forward in"
"""Half of the parameters; in the paper on BitFit these two groups do nearly as well as all."""

SAME_HEAD = "frozen body, head as with BitFit"
"""The reference that differs from BitFit in the biases alone: its head has the same `lr`."""


def bias_pattern(bench: str, groups: str) -> str:
    """Return the pattern of the biases of a benchmark's body in `groups`, joined by "+".

    Raises:
        ValueError: there is no such group.
    """
    patterns = GROUPS[BENCHMARKS[bench].base]
    names = groups.split("+")
    unknown = [name for name in names if name not in patterns]
    if unknown:
        raise ValueError(
            f"groups must be some of {', '.join(patterns)}, joined by +, got {unknown[0]!r}; "
            "choose among these"
        )
    return ",".join(patterns[name] for name in names)


def available_examples(bench: str, examples: int) -> int:
    """Return `examples`, or the number of training rows of the benchmark's task if it has fewer."""
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
    """Fine-tune with BitFit on a benchmark: train the biases of `groups`, joined by "+"."""
    yield from fine_tuning(
        bench,
        BitFit(bias_pattern(bench, groups)),
        HEAD,
        lr=lr,
        seed=seed,
        probe=probe,
        test=test,
        examples=available_examples(bench, examples),
    )


def reference(
    bench: str, method: str, examples: int, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run full fine-tuning, or a frozen body, whose head trains at the learning rate `lr`."""
    kit_method = FROZEN if method == SAME_HEAD else method
    count = available_examples(bench, examples)
    yield from benchmark.reference(bench, kit_method, lr, seed, test, count)


def movement_by_group(model: Adapted) -> dict[str, float]:
    """Measure how far the biases of each block and group moved, and how strong their last gradient
    was.

    Returns:
        `probe/change/<block>/<group>` and `probe/gradient/<block>/<group>`: root mean squares over
        the entries. The embedding and what is behind the last block count as blocks.
    """
    changes: dict[str, list[Tensor]] = {}
    gradients: dict[str, list[Tensor]] = {}
    for name, before, now in model.changed():
        group = group_of(model.base.name, name)
        if group is None:
            continue
        cell = f"{zero_based_block(name)}/{group}"
        gradient = next(model.changes[name].parameters()).grad
        changes.setdefault(cell, []).append(now - before)
        gradients.setdefault(cell, []).append(torch.zeros(1) if gradient is None else gradient)
    movement = {}
    for cell in changes:
        movement[f"probe/change/{cell}"] = _root_mean_square(changes[cell])
        movement[f"probe/gradient/{cell}"] = _root_mean_square(gradients[cell])
    return movement


def _root_mean_square(tensors: list[Tensor]) -> float:
    return float(torch.cat(tensors).square().mean().sqrt())


def group_of(base: str, name: str) -> str | None:
    """Return the group of a bias; None for any other weight.

    >>> group_of("mini", "body.encoder.layer.0.attention.self.query.bias")
    'query'
    """
    for group, patterns in GROUPS[base].items():
        if any(fnmatch(name, pattern) for pattern in patterns.split(",")):
            return group
    return None


def zero_based_block(name: str) -> str:
    """Return the block of the body that a weight belongs to, as the weight's name counts it, from
    0.

    >>> zero_based_block("body.encoder.layer.2.output.dense.bias")
    'block 2'
    >>> zero_based_block("body.embeddings.LayerNorm.bias"), zero_based_block("body.layernorm.bias")
    ('embedding', 'behind')
    """
    number = re.search(r"\.(\d+)\.", name)
    if number:
        return f"block {number[1]}"
    return "embedding" if "embedding" in name else "behind"
