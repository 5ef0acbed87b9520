"""Answers to the exercises on frozen blocks: wrong ones with words of the message, right ones."""

import re
from typing import Any

BLOCK = re.compile(r"blocks\.(\d+)\.")


def wrong_share() -> dict[str, tuple[Any, str]]:
    def passed(moving: Any, blocks: int) -> int:
        return blocks - min(moving, default=blocks)

    return {
        "no forward": (
            lambda m, n: (passed(m, n) + len(m)) / (3 * n),
            "the forward pass is missing",
        ),
        "as if the last ones": (
            lambda m, n: (1 + 2 * len(m) / n) / 3,
            "the gradient passes the frozen ones above it, too",
        ),
        "the lowest hands no gradient down": (
            lambda m, n: (n + max(0, passed(m, n) - 1) + len(m)) / (3 * n),
            "count like the lesson",
        ),
        "all the way down": (
            lambda m, n: (2 * n + len(m)) / (3 * n),
            "no gradient is needed at all",
        ),
        "no weights": (
            lambda m, n: (n + passed(m, n)) / (3 * n),
            "one more pass for each trainable block",
        ),
        "weights of all blocks that the gradient passes": (
            lambda m, n: (n + 2 * passed(m, n)) / (3 * n),
            "a frozen block needs no gradient of its weights",
        ),
        "the highest": (
            lambda m, n: (n + n - max(m, default=n) + len(m)) / (3 * n),
            "the lowest trainable block decides",
        ),
        "the first listed": (
            lambda m, n: (n + (n - m[0] if m else 0) + len(m)) / (3 * n),
            "the list may be in any order",
        ),
        "not over full": (lambda m, n: (n + passed(m, n) + len(m)) / n, "divide by the three"),
        "swapped": (
            lambda m, n: (n + n - min(set(range(n)) - set(m), default=n) + n - len(m)) / (3 * n),
            "that swaps trainable and frozen blocks",
        ),
        "rounded": (
            lambda m, n: (n + passed(m, n) + len(m)) // (3 * n),
            "a step costs 0.500 of a full step",
        ),
        "saving": (
            lambda m, n: 1 - (n + passed(m, n) + len(m)) / (3 * n),
            "the saving, not the cost",
        ),
        "percent": (lambda m, n: 100 * (n + passed(m, n) + len(m)) / (3 * n), "that is in percent"),
        "fails if no block is trainable": (
            lambda m, n: (n + n - min(m) + len(m)) / (3 * n),
            "min() arg is an empty sequence",
        ),
        "text": (lambda m, n: "a third", "must be one number, got a str"),
    }


def right_share() -> dict[str, Any]:
    def counted(moving: Any, blocks: int) -> float:
        work, below = 0, True
        for block in range(blocks):
            below = below and block not in moving
            work += 1 + (not below) + (block in moving)
        return work / (3 * blocks)

    def formula(moving: Any, blocks: int) -> float:
        return (1 + len(moving) / blocks + (1 - min(moving) / blocks if moving else 0)) / 3

    return {"a formula": formula, "block by block": counted}


def _numbers(names: Any) -> list[int]:
    return sorted({int(match.group(1)) for name in names if (match := BLOCK.match(name))})


def _moving(names: Any, blocks: Any, *others: str) -> list[str]:
    return [name for name in names if name.startswith((*(f"blocks.{i}." for i in blocks), *others))]


def wrong_moving() -> dict[str, tuple[Any, str]]:
    def above(count: int) -> tuple[str, ...]:
        return ("norm.", "head.") if count else ("head.",)

    def minus_zero(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[-count:], *above(count))

    def minus_zero_and_norm(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[-count:], "norm.", "head.")

    def first(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[:count], *above(count))

    def no_norm(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[len(_numbers(names)) - count :], "head.")

    def always_norm(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[len(_numbers(names)) - count :], "norm.", "head.")

    def no_head(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[len(_numbers(names)) - count :], *above(count)[:-1])

    def the_frozen(names: Any, count: int) -> Any:
        return _moving(names, _numbers(names)[: len(_numbers(names)) - count], *above(count))

    def one_too_many(names: Any, count: int) -> Any:
        return _moving(names, range(max(0, len(_numbers(names)) - count - 1), 99), *above(count))

    def as_text(names: Any, count: int) -> Any:
        blocks = sorted(map(str, _numbers(names)))
        return _moving(names, blocks[len(blocks) - count :], *above(count))

    def sorts(names: Any, count: int) -> Any:
        names.sort()
        return names

    def right_but(names: Any, count: int) -> Any:
        return _moving(names, range(len(_numbers(names)) - count, 99), *above(count))

    return {
        "minus zero": (minus_zero, "`blocks[-0:]` is the whole list"),
        "minus zero and the norm": (minus_zero_and_norm, "trains every block and the final norm"),
        "the first": (first, "those are the first blocks"),
        "no norm": (no_norm, "must be trained with the block"),
        "always the norm": (always_norm, "not the final norm either"),
        "no head": (no_head, "the head is new"),
        "the frozen ones": (the_frozen, "blocks that stay frozen"),
        "one too many": (one_too_many, "one block too many"),
        "numbers as text": (as_text, "as text 9 comes after 11"),
        "everything": (lambda names, count: list(names), "the embeddings stay frozen"),
        "every norm": (
            lambda names, count: [
                name for name in names if name in right_but(names, count) or ".norm." in name
            ],
            "a norm of its own, which stays frozen with the block",
        ),
        "numbers": (lambda names, count: _numbers(names), "must be one of the names, got 0"),
        "one text": (lambda names, count: ", ".join(names), "must be a list of names, got a str"),
        "twice": (
            lambda names, count: [*right_but(names, count), "head.bias"],
            "got `head.bias` twice",
        ),
        "sorts the names": (sorts, "writes into `names`"),
    }


def right_moving() -> dict[str, Any]:
    def by_number(names: Any, count: int) -> Any:
        first = (
            1 + max(int(match.group(1)) for name in names if (match := BLOCK.match(name))) - count
        )
        found = set()
        for name in names:
            match = BLOCK.match(name)
            if (
                (match and int(match.group(1)) >= first)
                or name.startswith("head.")
                or (count and name.startswith("norm."))
            ):
                found.add(name)
        return found

    def everything_after(names: Any, count: int) -> Any:
        first = f"blocks.{len(_numbers(names)) - count}." if count else "head."
        return tuple(names[next(i for i, name in enumerate(names) if name.startswith(first)) :])

    def no_dot(names: Any, count: int) -> Any:
        blocks = _numbers(names)
        return [
            name
            for name in names
            if name.startswith(
                (
                    *(f"blocks.{i}" for i in blocks[len(blocks) - count :]),
                    *(("norm.", "head.") if count else ("head.",)),
                )
            )
        ]

    return {
        "by number": by_number,
        "everything after the first trainable name": everything_after,
        "no dot, which only the first blocks need": no_dot,
    }
