"""Exercises on frozen blocks: what they save, and which weights are left to move."""

from collections.abc import Callable, Sequence
from typing import Any

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind
from ftkit.teaching.exercise import Wrong, exercise

_SHARES = [
    Case(([3], 4), "the last of 4 blocks"),
    Case(([0], 4), "the first of 4 blocks"),
    Case(([1, 3], 4), "blocks 1 and 3 of 4"),
    Case(([], 6), "none of 6 blocks"),
    Case(([0, 1, 2, 3, 4], 5), "all of 5 blocks"),
    Case(([4, 2], 12), "blocks 4 and 2 of 12"),
]


def _passed(moving: Sequence[int], blocks: int) -> int:
    """How many blocks the gradient of the activations passes, from the top down to the lowest that moves."""
    return blocks - min(moving, default=blocks)


def _share(moving: Sequence[int], blocks: int) -> float:
    return (blocks + _passed(moving, blocks) + len(moving)) / (3 * blocks)


_MISCOUNTED: dict[str, Callable[[list[int], int], float]] = {
    "the forward pass is missing: it goes through every block, frozen or not": lambda m, n: (
        (_passed(m, n) + len(m)) / (3 * n)
    ),
    "on its way to the lowest moving block the gradient passes the frozen ones above it, too": lambda m, n: (
        (n + 2 * len(m)) / (3 * n)
    ),
    "count as the formula of the lesson does: the lowest block that moves hands a gradient down, too": lambda m, n: (
        (n + max(0, _passed(m, n) - 1) + len(m)) / (3 * n)
    ),
    "below the lowest moving block no gradient is needed at all": lambda m, n: (
        (2 * n + len(m)) / (3 * n)
    ),
    "the gradients of the weights are missing: one more pass for each block that moves": lambda m, n: (
        (n + _passed(m, n)) / (3 * n)
    ),
    "in a frozen block no gradient of a weight is needed": lambda m, n: (
        (n + 2 * _passed(m, n)) / (3 * n)
    ),
    "the lowest moving block decides how far the gradient must go, not the highest": lambda m, n: (
        (n + n - max(m, default=n) + len(m)) / (3 * n)
    ),
    "the order of the list means nothing; the lowest is its minimum": lambda m, n: (
        (n + (n - m[0] if m else 0) + len(m)) / (3 * n)
    ),
    "that is in units of a forward pass; divide by the three of full fine-tuning": lambda m, n: (
        3 * _share(m, n)
    ),
    "that takes the moving blocks for the frozen ones": lambda m, n: _share(
        [i for i in range(n) if i not in m], n
    ),
    "that is the saving, not the cost": lambda m, n: 1 - _share(m, n),
    "that is in percent; answer with a share": lambda m, n: 100 * _share(m, n),
}


@exercise(
    "What frozen blocks save",
    difficulty=1,
    minutes=8,
    hints=[
        "Count in forward passes of one block. Full fine-tuning has three for each: one forward, one for gradients of activations, one for "
        "those of weights.",
        "The forward pass goes through all blocks. The gradient of the activations goes from the top down to the lowest block that moves.",
        "That is `blocks` forward, `blocks - min(moving)` backward, `len(moving)` for weights, over `3 * blocks`; `min` needs a default.",
    ],
    solution="""
def flops_share(moving, blocks):
    passed = blocks - min(moving, default=blocks)
    return (blocks + passed + len(moving)) / (3 * blocks)
""",
)
def flops_share(yours: Any) -> str:
    """`yours(moving, blocks)` is the cost of a step over full fine-tuning's, of `blocks` equal blocks; `moving` lists the numbers of those
    that may move, 0 the lowest, perhaps none, in any order. Leave out what embeddings and head cost. Count as the lesson does: the
    lowest block that moves hands a gradient down, too."""
    yours, answers = as_function(yours, "moving, blocks"), []
    for case in _SHARES:
        answer = call(yours, "moving, blocks", *case.given)
        try:
            answers.append(float(answer))
        except (TypeError, ValueError):
            raise Wrong(f"the answer must be one number, got {kind(answer)}") from None
    why = diagnose(answers, _SHARES, _MISCOUNTED, _close)
    for case, answer in zip(_SHARES, answers, strict=True):
        if not _close(answer, right := _share(*case.given)):
            raise Wrong(
                f"if {case.words} may move, a step costs {right:.3f} of a full one, yours says {answer:.3f}{why}"
            )
    return "One block at the bottom costs more than one at the top: where the change may live decides, and not only how much may change."


def _close(one: float, other: float) -> bool:
    return abs(one - other) < 1e-6


def _names(
    blocks: int, order: Sequence[str] = ("embeddings.", "blocks.", "norm.", "head.")
) -> list[str]:
    """Names as `named_parameters` gives them, of a network with a final norm and a head."""
    parts = {
        "embeddings.": ["embeddings.words.weight", "embeddings.positions.weight"],
        "blocks.": [
            f"blocks.{i}.{name}"
            for i in range(blocks)
            for name in ("attention.weight", "attention.bias", "norm.weight")
        ],
        "norm.": ["norm.weight", "norm.bias"],
        "head.": ["head.weight", "head.bias"],
    }
    return [name for part in order for name in parts[part]]


_CASES = [
    Case((_names(4), 2), "4 blocks and count 2"),
    Case((_names(12), 2), "12 blocks and count 2"),
    Case((_names(12), 11), "12 blocks and count 11"),
    Case((_names(4), 0), "4 blocks and count 0"),
    Case((_names(3), 3), "3 blocks and count 3"),
]


def _blocks(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.split(".")[1] for name in names if name.startswith("blocks.")))


def _which(
    chosen: Callable[[list[str], int], list[str]],
    norm: Callable[[int], bool] = bool,
    head: bool = True,
) -> Callable[[list[str], int], set[str]]:
    """The names in the chosen blocks, with the final norm if `norm` says so of the count, and the head."""

    def found(names: list[str], count: int) -> set[str]:
        prefixes = (
            [f"blocks.{i}." for i in chosen(_blocks(names), count)]
            + ["norm."] * norm(count)
            + ["head."] * head
        )
        return {name for name in names if name.startswith(tuple(prefixes))}

    return found


def _last(blocks: list[str], count: int) -> list[str]:
    return blocks[len(blocks) - count :]


_MOVING = _which(_last)
_MISTAKES: dict[str, Callable[[list[str], int], set[str]]] = {
    "with count 0 that moves every block: `blocks[-0:]` is the whole list": _which(
        lambda b, n: b[-n:]
    ),
    "with count 0 that moves every block and the final norm: `blocks[-0:]` is the whole list": _which(
        lambda b, n: b[-n:], lambda n: True
    ),
    "those are the first blocks; what is near the head is the most specific, so the last ones move": _which(
        lambda b, n: b[:n]
    ),
    "the final norm stands between the last block and the head and must move with it": _which(
        _last, lambda n: False
    ),
    "with count 0 nothing but the head moves, not the final norm either": _which(
        _last, lambda n: True
    ),
    "the head is new and must always move": _which(_last, head=False),
    "those are the blocks that stay frozen": _which(lambda b, n: b[: len(b) - n]),
    "that is a block too many": _which(lambda b, n: b[max(0, len(b) - n - 1) :]),
    "that leaves the last block frozen": _which(lambda b, n: b[len(b) - n : -1]),
    "numbers of blocks are text here, and as text 9 comes after 11": _which(
        lambda b, n: sorted(b)[len(b) - n :]
    ),
    "each block has a norm of its own, which stays frozen with it": lambda names, count: (
        _MOVING(names, count)
        | {name for name in names if ".norm." in name and name.startswith("blocks.")}
    ),
    "that is the whole network: the embeddings stay frozen": lambda names, count: set(names),
}


@exercise(
    "Which weights may move?",
    difficulty=3,
    minutes=12,
    hints=[
        "Find the blocks first: the distinct numbers in names that start with `blocks.`, in order. Which of them are the last `count`?",
        "The head always moves; the final norm does as soon as a block moves. Try count 0 and a network of 12 blocks by hand.",
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
    """`yours(names, count)` lists the names that may move: those of the last `count` blocks, of the head, and of the final norm if a
    block moves, in any order. Names look like `blocks.3.attention.weight`, `norm.weight`, `head.bias`, `embeddings.words.weight`; each
    block has a norm of its own, `blocks.3.norm.weight`."""
    yours = as_function(yours, "names, count")
    answers = [_listed(call(yours, "names, count", *case.given), case) for case in _CASES]
    why = diagnose(answers, _CASES, _MISTAKES, lambda got, wrong: got == wrong)
    for case, got in zip(_CASES, answers, strict=True):
        right = _MOVING(*case.given)
        if more := [name for name in case.given[0] if name in got - right]:
            raise Wrong(f"with {case.words} `{more[0]}` must stay frozen, yours lets it move{why}")
        if missing := [name for name in case.given[0] if name in right - got]:
            raise Wrong(f"with {case.words} `{missing[0]}` must move, yours freezes it{why}")
    return "Both ends work: with count 0 the head alone, with every block everything but the embeddings. Both are where code breaks."


def _listed(answer: Any, case: Case) -> set[str]:
    if isinstance(answer, str) or not hasattr(answer, "__iter__"):
        raise Wrong(f"the answer must be a list of names, got {kind(answer)}")
    found = list(answer)
    if strange := [name for name in found if name not in case.given[0]]:
        raise Wrong(f"with {case.words} every answer must be one of the names, got {strange[0]!r}")
    if len(set(found)) != len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise Wrong(
            f"with {case.words} a name must be listed once, got `{twice}` twice; an optimizer would move it twice"
        )
    return set(found)
