"""Exercises on students: which of the teacher's mistakes they repeat, and how to make one of some of its blocks."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind
from ftkit.teaching.exercise import Wrong, exercise


def _answers(rows: int, classes: int, seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=generator)
    teacher, student = (torch.randn(rows, classes, generator=generator) for _ in range(2))
    student += teacher  # so that they agree on more than luck
    teacher[: rows // 3] += 4 * torch.nn.functional.one_hot(labels[: rows // 3], classes)
    return Case((student, teacher, labels), f"{rows} rows of {classes} classes")


def _perfect() -> Case:
    labels = torch.tensor([0, 2, 1])
    return Case(
        (torch.eye(3), 5.0 * torch.nn.functional.one_hot(labels, 3).float(), labels),
        "a teacher that is always right",
    )


_SAID = [_answers(40, 4, 0), _answers(60, 3, 1), _answers(30, 5, 2)]
_RIGHT_TEACHER = _perfect()


def _share(part: Tensor, of: Tensor) -> float:
    return float(part.float().sum() / of.float().sum().clamp(min=1))


def _inherited(student: Tensor, teacher: Tensor, labels: Tensor) -> float:
    s, t = student.argmax(-1), teacher.argmax(-1)
    return _share((t != labels) & (s == t), t != labels)


def _reading(
    part: Callable[..., Tensor], of: Callable[..., Tensor]
) -> Callable[[Tensor, Tensor, Tensor], float]:
    """A share as one might count it: of the rows that `of` names those that `part` names too, from both answers and the labels."""

    def read(student: Tensor, teacher: Tensor, labels: Tensor) -> float:
        given = (student.argmax(-1), teacher.argmax(-1), labels)
        return _share(part(*given) & of(*given), of(*given))

    return read


_MISREAD = {
    "that is the agreement over all rows; ask only for those where the teacher is wrong": _reading(
        lambda s, t, y: s == t, lambda s, t, y: y >= 0
    ),
    "that counts every mistake of the student there; only the teacher's own answer is inherited": _reading(
        lambda s, t, y: s != y, lambda s, t, y: t != y
    ),
    "that divides by all rows; divide by the teacher's mistakes": _reading(
        lambda s, t, y: (t != y) & (s == t), lambda s, t, y: y >= 0
    ),
    "that divides by the student's mistakes; divide by the teacher's": _reading(
        lambda s, t, y: s == t, lambda s, t, y: s != y
    ),
    "that is the share of them that the student gets right": _reading(
        lambda s, t, y: s == y, lambda s, t, y: t != y
    ),
    "that asks where the teacher is right": _reading(
        lambda s, t, y: s == t, lambda s, t, y: t == y
    ),
    "that is 1 minus what is asked for": lambda student, teacher, labels: (
        1 - _inherited(student, teacher, labels)
    ),
    "that is in per cent; a share lies in [0, 1]": lambda student, teacher, labels: (
        100 * _inherited(student, teacher, labels)
    ),
}


@exercise(
    "Which mistakes are inherited?",
    difficulty=2,
    minutes=8,
    hints=[
        "What does each of the two answer: the most probable class of each row. On which rows is the teacher wrong?",
        "Among those rows, count the ones where the student gives the very same answer. By how many do you divide?",
        "`wrong = teacher.argmax(-1) != labels`; then the mean of `(student.argmax(-1) == teacher.argmax(-1))[wrong]`, and 0 if none is.",
    ],
    solution="""
def inherited(student, teacher, labels):
    wrong = teacher.argmax(-1) != labels
    same = student.argmax(-1) == teacher.argmax(-1)
    return same[wrong].float().mean().item() if wrong.any() else 0.0
""",
)
def inherited(yours: Any) -> str:
    """`yours(student, teacher, labels)` is, of the rows where the teacher's most probable class is wrong, the share in [0, 1] for which the
    student's is the same wrong one; 0 if the teacher is never wrong. Both are logits (rows, classes)."""
    takes = "student, teacher, labels"
    yours = as_function(yours, takes)
    answers = [_number(call(yours, takes, *case.given), case) for case in (*_SAID, _RIGHT_TEACHER)]
    why = diagnose(answers[:-1], _SAID, _MISREAD, lambda got, wrong: abs(got - wrong) < 1e-4)
    for case, got in zip((*_SAID, _RIGHT_TEACHER), answers, strict=True):
        right = _inherited(*case.given)
        if not abs(got - right) < 1e-4:
            raise Wrong(f"for {case.words} the share is {right:.3f}, yours is {got:.3f}{why}")
    return "Agreement counts such rows as a success, accuracy as a failure: so report both."


def _number(said: Any, case: Case) -> float:
    if isinstance(said, Tensor) and said.numel() == 1:
        said = said.item()
    if isinstance(said, bool) or not hasattr(said, "__float__") or isinstance(said, Tensor):
        raise Wrong(f"for {case.words} the share must be one number, got {kind(said)}")
    return float(said)


def _network(blocks: int, stack: str) -> dict[str, Tensor]:
    names = [
        "body.embeddings.weight",
        *(f"{stack}{i}.{part}" for i in range(blocks) for part in ("dense.weight", "mlp.2.bias")),
    ]
    names += ["heads.layer.1.weight", "heads.layer.1.bias"]
    return {name: torch.full((1,), float(i)) for i, name in enumerate(names)}


_STATES = [
    Case((_network(3, "body.layer."), "body.layer.", (0, 2)), "blocks 0 and 2 of three"),
    Case(
        (_network(12, "body.encoder.layer."), "body.encoder.layer.", (1, 10)),
        "blocks 1 and 10 of twelve",
    ),
    Case(
        (_network(4, "body.layer."), "body.layer.", (3, 2)), "blocks 3 and 2 of four, in this order"
    ),
]
State = Mapping[str, Tensor]


def _taken(
    state: State,
    stack: str,
    blocks: Sequence[int],
    renumber: bool = True,
    others: bool = True,
    numbers: Callable[[int], int] | None = None,
) -> dict[str, Tensor]:
    place, found = (
        {block: i if renumber else block for i, block in enumerate(blocks)},
        dict[str, Tensor](),
    )
    for name, value in state.items():
        match = re.match(rf"{re.escape(stack)}(\d+)\.(.*)", name)
        if match is None:
            found |= {name: value} if others else {}
        elif (block := int(match[1])) in place:
            found[f"{stack}{numbers(block) if numbers else place[block]}.{match[2]}"] = value
    return found


_MISTAKEN: dict[str, Callable[..., dict[str, Tensor]]] = {
    "the blocks keep their old numbers; a student of two has the blocks 0 and 1": lambda s, at, b: (
        _taken(s, at, b, renumber=False)
    ),
    "what is not in a block is missing: embeddings and head": lambda s, at, b: _taken(
        s, at, b, others=False
    ),
    "those are the first blocks, not the named ones": lambda s, at, b: _taken(s, at, range(len(b))),
    "those are the last blocks, not the named ones": lambda s, at, b: _taken(
        s, at, sorted({int(n[len(at) :].split(".")[0]) for n in s if n.startswith(at)})[-len(b) :]
    ),
    "that is everything as it was": lambda s, at, b: dict(s),
    "the blocks stand as they stood in the teacher; they must stand in the order that is asked for": lambda s, at, b: (
        _taken(s, at, sorted(b))
    ),
    "the numbers of the blocks count from 1; they must count from 0": lambda s, at, b: _taken(
        s, at, b, numbers=lambda block: list(b).index(block) + 1
    ),
    "the named blocks have changed places": lambda s, at, b: _taken(s, at, list(b)[::-1]),
}


@exercise(
    "Some blocks of a larger network",
    difficulty=4,
    minutes=20,
    hints=[
        "Three kinds of names: outside the stack (keep), in a named block (keep, under another number), in another block (leave out).",
        "Take the number as text between the stack's name and the next dot: `layer.1` is also how `layer.10` begins.",
        "`rest = name.removeprefix(stack)`; `number, _, part = rest.partition('.')`; the new number is `blocks.index(int(number))`.",
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
    """`yours(state, stack, blocks)` are the weights {name: tensor} of a student that has only these blocks, in this order and numbered anew
    from 0, and all that lies outside the stack; a block's weights are called `stack`, its number, a dot and the rest."""
    takes = "state, stack, blocks"
    yours, answers = as_function(yours, takes), []
    for case in _STATES:
        said = call(yours, takes, *case.given)
        if not isinstance(said, Mapping):
            raise Wrong(
                f"for {case.words} the answer must be a dictionary of names and tensors, got {kind(said)}"
            )
        answers.append(said)
    why = diagnose(answers, _STATES, _MISTAKEN, _same)
    for case, got in zip(_STATES, answers, strict=True):
        right = _taken(*case.given)
        if not _same(got, right):
            raise Wrong(
                f"for {case.words} yours is not right: {_first_difference(got, right)}{why}"
            )
    return "So DistilBERT began: the vocabulary and every second block of BERT, and training mends what the gaps have torn."


def _same(got: Mapping[str, Any], right: State) -> bool:
    return got.keys() == right.keys() and all(
        torch.equal(torch.as_tensor(got[name]), right[name]) for name in right
    )


def _first_difference(got: Mapping[str, Any], right: State) -> str:
    for name in right:
        if name not in got:
            return f"{name} is missing"
    for name in got:
        if name not in right:
            return f"{name} is too much"
    wrong = next(name for name in right if not torch.equal(torch.as_tensor(got[name]), right[name]))
    return f"{wrong} has the numbers of another weight"
