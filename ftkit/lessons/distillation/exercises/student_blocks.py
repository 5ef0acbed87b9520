"""Exercises on students: which mistakes of the teacher they repeat, and how to build one from some
of its blocks."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, Misreadings, check_cases, kind
from ftkit.teaching.exercise import Wrong, exercise


def _answers(rows: int, classes: int, seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=generator)
    teacher, student = (torch.randn(rows, classes, generator=generator) for _ in range(2))
    student += teacher  # so that they agree on more than chance
    teacher[: rows // 3] += 4 * torch.nn.functional.one_hot(labels[: rows // 3], classes)
    return Case((student, teacher, labels), f"{rows} rows of {classes} classes")


def _perfect_teacher() -> Case:
    labels = torch.tensor([0, 2, 1])
    teacher = 5.0 * torch.nn.functional.one_hot(labels, 3).float()
    return Case((torch.eye(3), teacher, labels), "a teacher that is always right", edge=True)


ANSWERS = [_answers(40, 4, 0), _answers(60, 3, 1), _answers(30, 5, 2), _perfect_teacher()]
Rows = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the classes of student, teacher and labels, each (rows,), to a mask of rows."""


def _share(part: Rows, of: Rows) -> Callable[[Tensor, Tensor, Tensor], float]:
    """Make a function of both logits and the labels: among the rows `of`, the share of `part`."""

    def share(student: Tensor, teacher: Tensor, labels: Tensor) -> float:
        classes = (student.argmax(-1), teacher.argmax(-1), labels)
        asked = of(*classes)
        return float((part(*classes) & asked).float().sum() / asked.float().sum().clamp(min=1))

    return share


_right_share = _share(lambda s, t, y: s == t, lambda s, t, y: t != y)
wrong_shares = Misreadings(
    {
        "that is the agreement over all rows; count only those where the teacher is wrong": (
            _share(lambda s, t, y: s == t, lambda s, t, y: y >= 0)
        ),
        "that counts every mistake of the student there; only the teacher's own answer is "
        "inherited": _share(lambda s, t, y: s != y, lambda s, t, y: t != y),
        "that divides by all rows; divide by the teacher's mistakes": (
            _share(lambda s, t, y: (t != y) & (s == t), lambda s, t, y: y >= 0)
        ),
        "that divides by the student's mistakes; divide by the teacher's": (
            _share(lambda s, t, y: s == t, lambda s, t, y: s != y)
        ),
        "that is the share of them that the student gets right": (
            _share(lambda s, t, y: s == y, lambda s, t, y: t != y)
        ),
        "that counts the rows where the teacher is right": (
            _share(lambda s, t, y: s == t, lambda s, t, y: t == y)
        ),
        "that is 1 minus what is asked for": lambda s, t, y: 1 - _right_share(s, t, y),
        "that is in per cent; a share is in [0, 1]": lambda s, t, y: 100 * _right_share(s, t, y),
    }
)


def _read_share(answer: Any, case: Case) -> float:
    if isinstance(answer, Tensor) and answer.numel() == 1:
        answer = answer.item()
    if isinstance(answer, bool | Tensor) or not hasattr(answer, "__float__"):
        raise Wrong(f"for {case.words} the share must be one number, got {kind(answer)}")
    return float(answer)


def _explain_share(case: Case, wanted: float, answer: float) -> str:
    return f"for {case.words} the share is {wanted:.3f}, yours is {answer:.3f}"


@exercise(
    "Which mistakes are inherited?",
    difficulty=2,
    minutes=8,
    hints=[
        "What does each of the two answer: the most probable class of each row. On which rows is "
        "the teacher wrong?",
        "Among those rows, count the ones where the student gives the very same answer. By how "
        "many do you divide?",
        "`wrong = teacher.argmax(-1) != labels`; then the mean of "
        "`(student.argmax(-1) == teacher.argmax(-1))[wrong]`, and 0 if the teacher has no mistake.",
    ],
    solution="""
def inherited(student, teacher, labels):
    wrong = teacher.argmax(-1) != labels
    same = student.argmax(-1) == teacher.argmax(-1)
    return same[wrong].float().mean().item() if wrong.any() else 0.0
""",
)
def inherited(yours: Any) -> str:
    """`yours(student, teacher, labels)` is the share of the teacher's mistakes that are repeated.

    Among the rows where the teacher's most probable class is wrong, in [0, 1], those for which the
    student's is the same wrong one; 0 if the teacher is never wrong. Both are logits
    (rows, classes).
    """
    check_cases(
        yours,
        "student, teacher, labels",
        _right_share,
        ANSWERS,
        wrong_shares,
        read=_read_share,
        same=lambda one, other: abs(one - other) < 1e-4,
        explain=_explain_share,
    )
    return "Agreement counts such rows as a success, accuracy as a failure: so report both."


State = Mapping[str, Tensor]


def _network(blocks: int, stack: str) -> dict[str, Tensor]:
    parts = ("dense.weight", "mlp.2.bias")
    names = [
        "body.embeddings.weight",
        *(f"{stack}{block}.{part}" for block in range(blocks) for part in parts),
        "heads.layer.1.weight",
        "heads.layer.1.bias",
    ]
    return {name: torch.full((1,), float(i)) for i, name in enumerate(names)}


STATES = [
    Case((_network(3, "body.layer."), "body.layer.", (0, 2)), "blocks 0 and 2 of three"),
    Case(
        (_network(12, "body.encoder.layer."), "body.encoder.layer.", (1, 10)),
        "blocks 1 and 10 of twelve",
    ),
    Case(
        (_network(4, "body.layer."), "body.layer.", (3, 2)), "blocks 3 and 2 of four, in this order"
    ),
]


def _take(
    state: State, stack: str, new_numbers: Mapping[int, int], outside: bool = True
) -> dict[str, Tensor]:
    """Take blocks under new numbers, and with `outside` all weights outside the stack."""
    taken = dict[str, Tensor]()
    for name, value in state.items():
        in_a_block = re.match(rf"{re.escape(stack)}(\d+)\.(.*)", name)
        if in_a_block is None:
            if outside:
                taken[name] = value
        elif (block := int(in_a_block[1])) in new_numbers:
            taken[f"{stack}{new_numbers[block]}.{in_a_block[2]}"] = value
    return taken


def _from_zero(blocks: Sequence[int]) -> dict[int, int]:
    return {block: number for number, block in enumerate(blocks)}


def _right_blocks(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, _from_zero(blocks))


wrong_blocks = Misreadings()


@wrong_blocks("the blocks keep their old numbers; a student of two has the blocks 0 and 1")
def _old_numbers(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, {block: block for block in blocks})


@wrong_blocks("what is not in a block is missing: embeddings and head")
def _blocks_alone(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, _from_zero(blocks), outside=False)


@wrong_blocks("those are the first blocks, not the named ones")
def _first_blocks(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, _from_zero(range(len(blocks))))


@wrong_blocks("those are the last blocks, not the named ones")
def _last_blocks(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    inside = [name.removeprefix(stack) for name in state if name.startswith(stack)]
    numbers = sorted({int(rest.split(".")[0]) for rest in inside})
    return _take(state, stack, _from_zero(numbers[-len(blocks) :]))


@wrong_blocks("nothing has changed")
def _unchanged(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return dict(state)


@wrong_blocks("the blocks are in the teacher's order; they must be in the order that is asked for")
def _in_the_teachers_order(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, _from_zero(sorted(blocks)))


@wrong_blocks("the numbers of the blocks count from 1; they must count from 0")
def _from_one(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, {block: number + 1 for number, block in enumerate(blocks)})


@wrong_blocks("the named blocks are swapped")
def _reversed(state: State, stack: str, blocks: Sequence[int]) -> dict[str, Tensor]:
    return _take(state, stack, _from_zero(list(blocks)[::-1]))


def _read_state(answer: Any, case: Case) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise Wrong(
            f"for {case.words} the answer must be a dictionary of names and tensors, "
            f"got {kind(answer)}"
        )
    return answer


def _same_state(one: Mapping[str, Any], other: State) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(torch.as_tensor(one[name]), other[name]) for name in other
    )


def _explain_state(case: Case, wanted: State, answer: Mapping[str, Any]) -> str:
    return f"for {case.words} yours is not right: {_first_difference(answer, wanted)}"


def _first_difference(answer: Mapping[str, Any], wanted: State) -> str:
    for name in wanted:
        if name not in answer:
            return f"{name} is missing"
    for name in answer:
        if name not in wanted:
            return f"{name} should not be there"
    wrong = next(
        name for name in wanted if not torch.equal(torch.as_tensor(answer[name]), wanted[name])
    )
    return f"{wrong} has the values of another weight"


@exercise(
    "Some blocks of a larger network",
    difficulty=4,
    minutes=20,
    hints=[
        "Three kinds of names: outside the stack (keep), in a named block (keep, under another "
        "number), in another block (leave out).",
        "Take the number as text between the stack's name and the next dot: `layer.1` is also how "
        "`layer.10` begins.",
        "`rest = name.removeprefix(stack)`; `number, _, part = rest.partition('.')`; the new "
        "number is `blocks.index(int(number))`.",
    ],
    solution="""
def take_blocks(state, stack, blocks):
    taken = {}
    for name, value in state.items():
        if not name.startswith(stack):
            taken[name] = value
            continue
        number, _, part = name.removeprefix(stack).partition(".")
        if int(number) in blocks:
            taken[f"{stack}{list(blocks).index(int(number))}.{part}"] = value
    return taken
""",
)
def take_blocks(yours: Any) -> str:
    """`yours(state, stack, blocks)` is the state dict {name: tensor} of a student.

    It has only these blocks, in this order and numbered from 0, and all weights outside the stack.
    The weights of a block are called `stack`, its number, a dot and the rest.
    """
    check_cases(
        yours,
        "state, stack, blocks",
        _right_blocks,
        STATES,
        wrong_blocks,
        read=_read_state,
        same=_same_state,
        explain=_explain_state,
    )
    return (
        "This is how DistilBERT started: the vocabulary and every second block of BERT. Training "
        "repairs what is lost between the blocks."
    )
