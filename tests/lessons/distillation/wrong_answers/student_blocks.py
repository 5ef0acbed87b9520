"""Answers to lesson 06's exercises on students: wrong ones with the words that must name the fault,
and right ones."""

from typing import Any

import torch


def wrong_inherited() -> dict[str, tuple[Any, str]]:
    def share(part: Any, of: Any) -> Any:
        def read(student: Any, teacher: Any, labels: Any) -> float:
            given = student.argmax(-1), teacher.argmax(-1), labels
            return float((part(*given) & of(*given)).sum() / of(*given).sum().clamp(min=1))

        return read

    def undefined(student: Any, teacher: Any, labels: Any) -> float:
        wrong = teacher.argmax(-1) != labels
        return (student.argmax(-1) == teacher.argmax(-1))[wrong].float().mean().item()

    def per_cent(student: Any, teacher: Any, labels: Any) -> float:
        return 100 * share(lambda s, t, y: s == t, lambda s, t, y: t != y)(student, teacher, labels)

    return {
        "agreement": (
            share(lambda s, t, y: s == t, lambda s, t, y: y >= 0),
            "the agreement over all rows",
        ),
        "any mistake": (
            share(lambda s, t, y: s != y, lambda s, t, y: t != y),
            "counts every mistake of the student",
        ),
        "of all rows": (
            share(lambda s, t, y: (t != y) & (s == t), lambda s, t, y: y >= 0),
            "divides by all rows",
        ),
        "of the student's": (
            share(lambda s, t, y: s == t, lambda s, t, y: s != y),
            "divides by the student's mistakes",
        ),
        "what it gets right": (
            share(lambda s, t, y: s == y, lambda s, t, y: t != y),
            "the share of them that the student gets right",
        ),
        "where right": (
            share(lambda s, t, y: s == t, lambda s, t, y: t == y),
            "counts the rows where the teacher is right",
        ),
        "the rest": (lambda *z: 1 - per_cent(*z) / 100, "1 minus what is asked for"),
        "per cent": (per_cent, "in per cent"),
        "nan": (undefined, "a teacher that is always right the share is 0.000, yours is nan"),
        "one for none": (
            lambda s, t, y: undefined(s, t, y) if (t.argmax(-1) != y).any() else 1.0,
            "yours is 1.000",
        ),
        "a mask": (
            lambda s, t, y: t.argmax(-1) != y,
            "the share must be one number, got a torch.Tensor",
        ),
        "a list": (lambda s, t, y: [0.5], "the share must be one number, got a list"),
        "no argmax": (lambda s, t, y: float((s == t).float().mean()), "the share is"),
        "arguments": (lambda s, t: 0.0, "must take (student, teacher, labels), in this order"),
    }


def right_inherited() -> dict[str, Any]:
    def loop(student: Any, teacher: Any, labels: Any) -> float:
        rows = list(
            zip(
                student.argmax(1).tolist(), teacher.argmax(1).tolist(), labels.tolist(), strict=True
            )
        )
        wrong = [(s, t) for s, t, label in rows if t != label]
        return sum(s == t for s, t in wrong) / max(1, len(wrong))

    def tensors(student: Any, teacher: Any, labels: Any) -> Any:
        s, t = student.max(-1).indices, teacher.max(-1).indices
        return ((s == t) & (t != labels)).sum() / (t != labels).sum().clamp(min=1)

    return {"a loop": loop, "a tensor of one number": tensors}


def wrong_blocks() -> dict[str, tuple[Any, str]]:
    def number(name: str, stack: str) -> int:
        return int(name.removeprefix(stack).split(".")[0])

    def moved(new: Any, others: bool = True) -> Any:
        def take(state: Any, stack: str, blocks: Any) -> Any:
            taken = {}
            for name, value in state.items():
                if not name.startswith(stack):
                    taken |= {name: value} if others else {}
                elif (now := new(number(name, stack), list(blocks), state, stack)) is not None:
                    taken[f"{stack}{now}.{name.removeprefix(stack).split('.', 1)[1]}"] = value
            return taken

        return take

    def right(block: int, blocks: Any, *_: Any) -> Any:
        return blocks.index(block) if block in blocks else None

    def begins(state: Any, stack: str, blocks: Any) -> Any:
        """Takes `layer.1` for the beginning of `layer.10` too."""
        taken = {name: value for name, value in state.items() if not name.startswith(stack)}
        for new, block in enumerate(blocks):
            taken |= {
                f"{stack}{new}.{n.split('.', 4)[-1]}": v
                for n, v in state.items()
                if n.startswith(f"{stack}{block}")
            }
        return taken

    def every_number(state: Any, stack: str, blocks: Any) -> Any:
        """Changes whatever number in a name is that of the block."""
        taken = {name: value for name, value in state.items() if not name.startswith(stack)}
        for new, block in enumerate(blocks):
            own = {
                name: value for name, value in state.items() if name.startswith(f"{stack}{block}.")
            }
            taken |= {name.replace(f".{block}.", f".{new}."): value for name, value in own.items()}
        return taken

    def in_place(state: Any, stack: str, blocks: Any) -> Any:
        for name in list(state):
            if name.startswith(stack) and number(name, stack) not in blocks:
                del state[name]
        return state

    last = lambda block, blocks, state, stack: (  # noqa: E731
        block - top
        if block
        >= (top := 1 + max(number(n, stack) for n in state if n.startswith(stack)) - len(blocks))
        else None
    )
    return {
        "old numbers": (
            moved(lambda b, blocks, *_: b if b in blocks else None),
            "the blocks keep their old numbers",
        ),
        "no embeddings": (
            moved(right, others=False),
            "what is not in a block is missing: embeddings and head",
        ),
        "the first": (
            moved(lambda b, blocks, *_: b if b < len(blocks) else None),
            "those are the first blocks",
        ),
        "the last": (moved(last), "those are the last blocks"),
        "everything": (lambda state, stack, blocks: dict(state), "nothing has changed"),
        "from one": (
            moved(lambda b, blocks, *_: blocks.index(b) + 1 if b in blocks else None),
            "count from 1",
        ),
        "changed places": (
            moved(lambda b, blocks, *_: blocks[::-1].index(b) if b in blocks else None),
            "are swapped",
        ),
        "every such number": (every_number, "body.layer.1.mlp.2.bias is missing"),
        "as they stood": (
            moved(lambda b, blocks, *_: sorted(blocks).index(b) if b in blocks else None),
            "in the order that is asked for",
        ),
        "how a name begins": (begins, "yours is not right"),
        "only the first": (
            moved(lambda b, blocks, *_: 0 if b == blocks[0] else None),
            "body.layer.1.dense.weight is missing",
        ),
        "a list": (
            lambda state, stack, blocks: list(state),
            "must be a dictionary of names and tensors, got a list",
        ),
        "in place": (in_place, "writes into `state`"),
        "arguments": (
            lambda state, blocks: state,
            "must take (state, stack, blocks), in this order",
        ),
    }


def right_blocks() -> dict[str, Any]:
    def pattern(state: Any, stack: str, blocks: Any) -> Any:
        import re

        taken = {}
        for name, value in state.items():
            match = re.match(rf"({re.escape(stack)})(\d+)(\..*)", name)
            if match and int(match[2]) in blocks:
                taken[f"{match[1]}{tuple(blocks).index(int(match[2]))}{match[3]}"] = value
            elif not match:
                taken[name] = value
        return taken

    def by_block(state: Any, stack: str, blocks: Any) -> Any:
        taken = {
            name: torch.clone(value) for name, value in state.items() if not name.startswith(stack)
        }
        for new, old in enumerate(blocks):
            start = f"{stack}{old}."
            taken |= {
                name.replace(start, f"{stack}{new}.", 1): value
                for name, value in state.items()
                if name.startswith(start)
            }
        return taken

    return {"a pattern": pattern, "block by block": by_block}
