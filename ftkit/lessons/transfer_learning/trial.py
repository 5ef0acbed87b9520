"""Lesson 01: how much of the body to freeze, from pretrained or from random weights, on three benches."""

from collections.abc import Iterator

from ftkit.experiments.benchmark import HEAD, fine_tuning, load_benchmark
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.change import Space
from ftkit.techniques.freeze import LastBlocks
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, Probe

BLOCKS = 3
"""The blocks of either shipped body."""
POSITIONS = tuple(range(BLOCKS + 2))
"""How many parts stay frozen, from the bottom: nothing, the embeddings, and a block more each; the last is everything but the head."""
ALL = POSITIONS[-1]
BODIES = ("pretrained", "random")


def parts(net: Net) -> dict[str, list[str]]:
    """The weights of a net by the part they stand in, from the bottom: embeddings, block 1, ..., head. A final norm is the last block's."""
    names = [name for name, _ in net.named_parameters()]
    found, below = {}, [name for name in names if not name.startswith("heads.")]
    for count in range(1, BLOCKS + 1):
        moving = LastBlocks(count).changes(net)
        found[f"block {BLOCKS + 1 - count}"] = [name for name in below if name in moving]
        below = [name for name in below if name not in moving]
    return {
        "embeddings": below,
        **dict(reversed(found.items())),
        "head": [name for name in names if name.startswith("heads.")],
    }


def spaces(frozen: int) -> tuple[Space, ...]:
    """Where the change may live if `frozen` parts, counted from the bottom, stay as they are; with none that is everywhere.

    Raises:
        ValueError: there are not so many parts.
    """
    if frozen not in POSITIONS:
        raise ValueError(
            f"frozen must be from 0 (nothing) to {ALL} (all but the head), got {frozen!r}; they are embeddings and blocks"
        )
    return (LastBlocks(ALL - frozen), HEAD) if frozen else ()


def trial(
    bench: str,
    frozen: int,
    lr: float,
    body: str = "pretrained",
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """One run on a bench with `frozen` parts frozen. With everything frozen `lr` is the head's rate, since nothing else trains.

    Raises:
        ValueError: `body` is neither "pretrained" nor "random"; there are not so many parts.
    """
    if body not in BODIES:
        raise ValueError(f"body must be one of {', '.join(BODIES)}, got {body!r}")
    net = load_benchmark(bench)[0].untrained(seed) if body == "random" else None
    head_lr = lr if frozen == ALL else HEAD_LR
    yield from fine_tuning(
        bench, *spaces(frozen), lr=lr, head_lr=head_lr, seed=seed, probe=probe, test=test, net=net
    )


def moved(model: Adapted) -> dict[str, float]:
    """How far each part of the network moved, from the bottom: `probe/moved/<part>` is the length of its change over that of its weights
    in the base; a part that is frozen has `probe/frozen/<part>`, 0."""
    found = {}
    lengths = {
        name: (float((now - before).square().sum()), float(before.square().sum()))
        for name, before, now in model.changed()
    }
    for part, names in parts(model.base).items():
        own = [lengths[name] for name in names if name in lengths]
        change, weights = (sum(column) for column in zip(*own, strict=True)) if own else (0.0, 1.0)
        found[f"probe/{'moved' if own else 'frozen'}/{part}"] = (change / weights) ** 0.5
    return found
