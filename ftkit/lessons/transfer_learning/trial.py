"""The trial of lesson 01: how much of the body to freeze, pretrained or random, on three
benchmarks."""

from collections.abc import Iterator

from ftkit.experiments.benchmark import HEAD, fine_tuning, load_benchmark
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.change import Space
from ftkit.techniques.freeze import LastBlocks
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, Probe

BLOCKS = 3
"""The number of blocks of either shipped body."""
FROZEN_COUNTS = tuple(range(BLOCKS + 2))
"""The number of parts that stay frozen, from the bottom: none, the embeddings, then one more block
each.

The last freezes everything but the head.
"""
ALL_FROZEN = FROZEN_COUNTS[-1]
BODIES = ("pretrained", "random")


def parts(net: Net) -> dict[str, list[str]]:
    """List the weights of a net by part, from the bottom: embeddings, block 1, ..., head.

    A final norm belongs to the last block.
    """
    names = [name for name, _ in net.named_parameters()]
    heads = [name for name in names if name.startswith("heads.")]
    below = [name for name in names if not name.startswith("heads.")]
    blocks_from_top: dict[str, list[str]] = {}
    # Take off one block after another from the top; what is left are the embeddings.
    for count in range(1, BLOCKS + 1):
        trainable = LastBlocks(count).changes(net)
        block = f"block {BLOCKS + 1 - count}"
        blocks_from_top[block] = [name for name in below if name in trainable]
        below = [name for name in below if name not in trainable]
    return {"embeddings": below, **dict(reversed(blocks_from_top.items())), "head": heads}


def spaces(frozen: int) -> tuple[Space, ...]:
    """Return the spaces in which `frozen` parts, counted from the bottom, stay as they are.

    With none frozen the change may be everywhere, which is no space at all.

    Raises:
        ValueError: `frozen` is not in `FROZEN_COUNTS`.
    """
    if frozen not in FROZEN_COUNTS:
        raise ValueError(
            f"frozen must be from 0 (nothing) to {ALL_FROZEN} (all but the head), got {frozen!r}; "
            "count the embeddings and the blocks"
        )
    return (LastBlocks(ALL_FROZEN - frozen), HEAD) if frozen else ()


def trial(
    bench: str,
    frozen: int,
    lr: float,
    body: str = "pretrained",
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Fine-tune on a benchmark with `frozen` parts frozen.

    With everything frozen only the head trains, and `lr` is the learning rate of the head.

    Raises:
        ValueError: `body` is not in `BODIES`, or `frozen` not in `FROZEN_COUNTS`.
    """
    if body not in BODIES:
        raise ValueError(
            f"body must be one of {', '.join(BODIES)}, got {body!r}; choose one of these"
        )
    net = load_benchmark(bench)[0].untrained(seed) if body == "random" else None
    head_lr = lr if frozen == ALL_FROZEN else HEAD_LR
    yield from fine_tuning(
        bench, *spaces(frozen), lr=lr, head_lr=head_lr, seed=seed, probe=probe, test=test, net=net
    )


def movement_by_part(model: Adapted) -> dict[str, float]:
    """Measure how far each part of the network moved, from the bottom up.

    Returns:
        For each part that may change `probe/moved/<part>`: the norm of its change over the norm of
        its weights in the base. For each frozen part `probe/frozen/<part>`: 0.
    """
    squares = {
        name: (float((now - before).square().sum()), float(before.square().sum()))
        for name, before, now in model.changed()
    }
    movement = {}
    for part, names in parts(model.base).items():
        trainable = [squares[name] for name in names if name in squares]
        if trainable:
            change, weights = (sum(column) for column in zip(*trainable, strict=True))
            movement[f"probe/moved/{part}"] = (change / weights) ** 0.5
        else:
            movement[f"probe/frozen/{part}"] = 0.0
    return movement
