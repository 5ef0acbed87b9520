"""The trial of lesson 03: tasks ever farther from what the base has read, and ways to train on
them."""

from collections.abc import Callable, Iterator

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import (
    BENCHMARKS,
    FAR_TASKS,
    FROZEN,
    FULL,
    HEAD,
    SIZE,
    fine_tuning,
    load_benchmark,
)
from ftkit.lessons.limits_of_lora.forgetting import after_training
from ftkit.model.change import Space
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event
from ftkit.training.loop import Probe

NEAR_TO_FAR = ("library", *FAR_TASKS)
"""The benchmarks, by their distance from what the base has read."""
EMBEDDINGS = "body.embeddings.word_embeddings.weight"

LORA = "LoRA"
LORA_AND_EMBEDDINGS = "LoRA + embeddings"
EMBEDDINGS_ALONE = "embeddings alone"
ENCODER_ALONE = "full without embeddings"
RANDOM_WEIGHTS = "random weights"
ATTENTION = "LoRA on attention alone"
SPACES_BY_WAY: dict[str, Callable[[int], tuple[Space, ...]]] = {
    LORA: lambda rank: (LoRA(rank),),
    LORA_AND_EMBEDDINGS: lambda rank: (LoRA(rank), Only(EMBEDDINGS)),
    EMBEDDINGS_ALONE: lambda rank: (Only(EMBEDDINGS),),
    ENCODER_ALONE: lambda rank: (Only("body.encoder.*"),),
    ATTENTION: lambda rank: (LoRA(rank, where=BENCHMARKS["library"].attention),),
}
"""The spaces that are trainable in addition to the head, by the rank."""
WAYS = (*SPACES_BY_WAY, RANDOM_WEIGHTS)

RANKS = (1, 4, 16, 64)
"""At 64 the two factors of a 96 by 96 matrix have more parameters than the matrix has entries, so a
higher rank cannot be what is missing."""
MIXED_RANK = 4
"""The rank of LoRA in addition to the embeddings."""
EQUAL_RANK = 7
"""The rank at which LoRA on attention alone has exactly the number of parameters of rank 4 on every
linear layer."""
ONE_RANK = {
    EMBEDDINGS_ALONE: 0,
    ENCODER_ALONE: 0,
    RANDOM_WEIGHTS: 0,
    LORA_AND_EMBEDDINGS: MIXED_RANK,
    ATTENTION: EQUAL_RANK,
}
"""The rank of each way that is recorded at one rank only; 0 if it has none."""
LARGE_BATCH, LARGE_RANK = 64, 16
"""A batch of four times the usual rows, for LoRA of this rank and full fine-tuning, on the nearest
task."""
LRS: dict[str, tuple[float, ...]] = {
    LORA: (1e-3, 3e-3, 1e-2, 3e-2),
    LORA_AND_EMBEDDINGS: (1e-3, 3e-3, 1e-2, 3e-2),
    EMBEDDINGS_ALONE: (3e-3, 1e-2, 3e-2, 1e-1),
    ENCODER_ALONE: (3e-4, 1e-3, 3e-3, 1e-2),
    RANDOM_WEIGHTS: (3e-4, 1e-3, 3e-3, 1e-2),
    ATTENTION: (1e-3, 3e-3, 1e-2, 3e-2),
}
REFERENCE_LRS: dict[str, tuple[float, ...]] = {
    FULL: (3e-4, 1e-3, 3e-3, 1e-2),
    FROZEN: (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
}
SEEDS = tuple(range(8))
WITH_HEAD = "beside the head"
"""The method of the runs of `trial`."""


def trial(
    bench: str,
    way: str,
    rank: int,
    lr: float,
    size: int = SIZE,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Train the head and the spaces of `way`; measure forgetting at the end.

    Args:
        bench: a benchmark.
        way: one of `WAYS`; "random weights" is full fine-tuning of random weights.
        rank: LoRA's rank, where the way has LoRA.
        lr: the peak learning rate of the body.
        size: the rows of a step.
        seed: decides the training rows, their order, the head and the starting values.
        test: whether to evaluate on test at the end.
        probe: see `train`.

    Raises:
        ValueError: there is no such way.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}; choose one of these")
    if way == RANDOM_WEIGHTS:
        net = load_benchmark(bench)[0].untrained(seed)
        yield from fine_tuning(bench, lr=lr, seed=seed, probe=probe, test=test, size=size, net=net)
    else:
        yield from fine_tuning(
            bench,
            *SPACES_BY_WAY[way](rank),
            HEAD,
            lr=lr,
            seed=seed,
            probe=probe,
            test=test,
            size=size,
            after=after_training,
        )


def reference(
    bench: str, method: str, lr: float, size: int = SIZE, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run full fine-tuning or a frozen body, and measure forgetting at the end."""
    yield from benchmark.reference(bench, method, lr, seed, test, size=size, after=after_training)
