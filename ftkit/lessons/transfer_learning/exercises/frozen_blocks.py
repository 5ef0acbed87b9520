"""Exercises on frozen blocks: what they save, and which weights are left to train."""

from collections.abc import Callable, Sequence
from typing import Any

from ftkit.teaching.checking import Case, Misreadings, check_cases, listed
from ftkit.teaching.exercise import Wrong, exercise

# What frozen blocks save

_TRAINED_BLOCKS = [
    Case(([3], 4), "the last of 4 blocks"),
    Case(([0], 4), "the first of 4 blocks"),
    Case(([1, 3], 4), "blocks 1 and 3 of 4"),
    Case(([], 6), "none of 6 blocks"),
    Case(([0, 1, 2, 3, 4], 5), "all of 5 blocks"),
    Case(([4, 2], 12), "blocks 4 and 2 of 12"),
]


def _passed(moving: Sequence[int], blocks: int) -> int:
    """Count the blocks that the gradient passes, from the top to the lowest trainable block."""
    return blocks - min(moving, default=blocks)


def _share(moving: Sequence[int], blocks: int) -> float:
    return (blocks + _passed(moving, blocks) + len(moving)) / (3 * blocks)


def _count(passes: Callable[[Sequence[int], int], float]) -> Callable[[list[int], int], float]:
    """Divide a number of passes through a block by the passes of full fine-tuning."""
    return lambda moving, blocks: passes(moving, blocks) / (3 * blocks)


_WRONG_SHARES: dict[str, Callable[[list[int], int], float]] = {
    "the forward pass is missing; it goes through every block, frozen or not": _count(
        lambda m, n: _passed(m, n) + len(m)
    ),
    "on its way to the lowest trainable block the gradient passes the frozen ones above it, too": (
        _count(lambda m, n: n + 2 * len(m))
    ),
    "count like the lesson: the lowest trainable block hands a gradient down, too": _count(
        lambda m, n: n + max(0, _passed(m, n) - 1) + len(m)
    ),
    "below the lowest trainable block no gradient is needed at all": _count(
        lambda m, n: 2 * n + len(m)
    ),
    "the gradients of the weights are missing; they take one more pass for each trainable block": (
        _count(lambda m, n: n + _passed(m, n))
    ),
    "a frozen block needs no gradient of its weights": _count(lambda m, n: n + 2 * _passed(m, n)),
    "the lowest trainable block decides how far the gradient has to go, not the highest": _count(
        lambda m, n: n + n - max(m, default=n) + len(m)
    ),
    "the list may be in any order; the lowest block is its minimum": _count(
        lambda m, n: n + (n - m[0] if m else 0) + len(m)
    ),
    "that counts forward passes; divide by the three passes of full fine-tuning": (
        lambda m, n: 3 * _share(m, n)
    ),
    "that swaps trainable and frozen blocks": (
        lambda m, n: _share([i for i in range(n) if i not in m], n)
    ),
    "that is the saving, not the cost": lambda m, n: 1 - _share(m, n),
    "that is in percent; return a fraction": lambda m, n: 100 * _share(m, n),
}


def _explain_share(case: Case, wanted: float, answer: float) -> str:
    return (
        f"with {case.words} trainable a step costs {wanted:.3f} of a full step, "
        f"yours says {answer:.3f}"
    )


@exercise(
    "What frozen blocks save",
    difficulty=1,
    minutes=8,
    hints=[
        "Count in forward passes of one block. Full fine-tuning takes three for each block: the "
        "forward pass, the gradients of the activations, and the gradients of the weights.",
        "The forward pass goes through all blocks. The gradient of the activations goes from the "
        "top down to the lowest trainable block.",
        "That is `blocks` forward, `blocks - min(moving)` backward and `len(moving)` for weights, "
        "divided by `3 * blocks`; `min` needs a default.",
    ],
    solution="""
def flops_share(moving, blocks):
    passed = blocks - min(moving, default=blocks)
    return (blocks + passed + len(moving)) / (3 * blocks)
""",
)
def flops_share(yours: Any) -> str:
    """`yours(moving, blocks)` is the cost of a step as a fraction of a full fine-tuning step.

    The network has `blocks` equal blocks. `moving` lists the trainable ones, where 0 is the lowest;
    it may be empty and in any order. Ignore the embeddings and the head. Count as the lesson does:
    the lowest trainable block hands a gradient down, too.
    """
    check_cases(
        yours, "moving, blocks", _share, _TRAINED_BLOCKS, _WRONG_SHARES, explain=_explain_share
    )
    return (
        "Training one block at the bottom costs more than training one at the top. The cost "
        "depends on where the change is, not only on its size."
    )


# Which weights are trainable


def _names(blocks: int) -> list[str]:
    """List names as `named_parameters` gives them, for a network with a final norm and a head."""
    weights = ("attention.weight", "attention.bias", "norm.weight")
    return [
        "embeddings.words.weight",
        "embeddings.positions.weight",
        *(f"blocks.{i}.{weight}" for i in range(blocks) for weight in weights),
        "norm.weight",
        "norm.bias",
        "head.weight",
        "head.bias",
    ]


_NETWORKS = [
    Case((_names(4), 2), "4 blocks and count 2"),
    Case((_names(12), 2), "12 blocks and count 2"),
    Case((_names(12), 11), "12 blocks and count 11"),
    Case((_names(4), 0), "4 blocks and count 0"),
    Case((_names(3), 3), "3 blocks and count 3"),
]


def _blocks(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.split(".")[1] for name in names if name.startswith("blocks.")))


def _last(names: Sequence[str], count: int) -> list[str]:
    blocks = _blocks(names)
    return blocks[len(blocks) - count :]


def _above(count: int) -> tuple[str, ...]:
    """Return what is trained above `count` blocks."""
    return ("norm.", "head.") if count else ("head.",)


def _in(names: Sequence[str], blocks: Sequence[str], parts: Sequence[str]) -> set[str]:
    """Return the names in these blocks and in the other parts."""
    prefixes = (*(f"blocks.{i}." for i in blocks), *parts)
    return {name for name in names if name.startswith(prefixes)}


def _trainable(names: list[str], count: int) -> set[str]:
    return _in(names, _last(names, count), _above(count))


_misnamed = Misreadings()


@_misnamed("with count 0 that trains every block: `blocks[-0:]` is the whole list")
def _minus_zero(names: list[str], count: int) -> set[str]:
    return _in(names, _blocks(names)[-count:], _above(count))


@_misnamed(
    "with count 0 that trains every block and the final norm: `blocks[-0:]` is the whole list"
)
def _minus_zero_and_norm(names: list[str], count: int) -> set[str]:
    return _in(names, _blocks(names)[-count:], ("norm.", "head."))


@_misnamed("those are the first blocks; the last ones are the most specific, so they are trained")
def _first_blocks(names: list[str], count: int) -> set[str]:
    return _in(names, _blocks(names)[:count], _above(count))


@_misnamed(
    "the final norm is between the last block and the head, and must be trained with the block"
)
def _without_norm(names: list[str], count: int) -> set[str]:
    return _in(names, _last(names, count), ("head.",))


@_misnamed("with count 0 the head alone is trained, not the final norm either")
def _always_norm(names: list[str], count: int) -> set[str]:
    return _in(names, _last(names, count), ("norm.", "head."))


@_misnamed("the head is new and must always be trained")
def _without_head(names: list[str], count: int) -> set[str]:
    return _in(names, _last(names, count), ("norm.",) if count else ())


@_misnamed("those are the blocks that stay frozen")
def _frozen_blocks(names: list[str], count: int) -> set[str]:
    blocks = _blocks(names)
    return _in(names, blocks[: len(blocks) - count], _above(count))


@_misnamed("that is one block too many")
def _one_too_many(names: list[str], count: int) -> set[str]:
    blocks = _blocks(names)
    return _in(names, blocks[max(0, len(blocks) - count - 1) :], _above(count))


@_misnamed("that leaves the last block frozen")
def _without_last(names: list[str], count: int) -> set[str]:
    blocks = _blocks(names)
    return _in(names, blocks[len(blocks) - count : -1], _above(count))


@_misnamed("block numbers are text here, and as text 9 comes after 11")
def _sorted_as_text(names: list[str], count: int) -> set[str]:
    blocks = sorted(_blocks(names))
    return _in(names, blocks[len(blocks) - count :], _above(count))


@_misnamed("each block has a norm of its own, which stays frozen with the block")
def _every_norm(names: list[str], count: int) -> set[str]:
    norms = {name for name in names if name.startswith("blocks.") and ".norm." in name}
    return _trainable(names, count) | norms


@_misnamed("that is the whole network; the embeddings stay frozen")
def _everything(names: list[str], count: int) -> set[str]:
    return set(names)


def _read_names(answer: Any, case: Case) -> set[str]:
    names = listed(answer, "names", ordered=False)
    for name in names:
        if name not in case.given[0]:
            raise Wrong(f"with {case.words} every entry must be one of the names, got {name!r}")
    for name in names:
        if names.count(name) > 1:
            raise Wrong(
                f"with {case.words} each name must be listed once, got `{name}` twice; "
                "an optimizer would update it twice"
            )
    return set(names)


def _explain_names(case: Case, wanted: set[str], answer: set[str]) -> str:
    names = case.given[0]
    for name in names:
        if name in answer - wanted:
            return f"with {case.words} `{name}` must stay frozen, yours trains it"
    missing = next(name for name in names if name in wanted - answer)
    return f"with {case.words} `{missing}` must be trained, yours freezes it"


@exercise(
    "Which weights are trainable?",
    difficulty=3,
    minutes=12,
    hints=[
        "Find the blocks first: the distinct numbers in the names that start with `blocks.`, in "
        "order. Which of them are the last `count`?",
        "The head is always trained; the final norm is trained as soon as a block is. Try count 0 "
        "and a network of 12 blocks by hand.",
        "`blocks[-0:]` is the whole list, so count from the front: `blocks[len(blocks) - count:]`.",
    ],
    solution="""
def moving(names, count):
    blocks = list(dict.fromkeys(name.split(".")[1] for name in names if name.startswith("blocks.")))
    last = [f"blocks.{i}." for i in blocks[len(blocks) - count:]]
    above = ["norm.", "head."] if count else ["head."]
    return [name for name in names if name.startswith(tuple(last + above))]
""",
)
def moving(yours: Any) -> str:
    """`yours(names, count)` lists the names of the trainable weights, in any order.

    Trainable are the last `count` blocks, the head, and the final norm if any block is trainable.
    Names look like `blocks.3.attention.weight`, `norm.weight`, `head.bias` and
    `embeddings.words.weight`; each block has a norm of its own, `blocks.3.norm.weight`.
    """
    check_cases(
        yours,
        "names, count",
        _trainable,
        _NETWORKS,
        _misnamed,
        read=_read_names,
        explain=_explain_names,
    )
    return (
        "Both ends work: count 0 trains the head alone, and all blocks train everything but the "
        "embeddings. Such ends are where code breaks."
    )
