"""The trials of lesson 00: fine-tuning of pretrained and of random weights, and counting words."""

from collections.abc import Iterator

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
    HEAD,
    VALID_ROWS,
    find_benchmark,
    fine_tuning,
    load_benchmark,
)
from ftkit.model.change import Space
from ftkit.tasks.task import stratified
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event, packed
from ftkit.training.loop import HEAD_LR

BENCH = "library"
STEPS = 400
RANDOM = "full fine-tuning of random weights"
LORA_RANK_4 = "LoRA, rank 4"
COUNTING = "TF-IDF + logistic regression"
SPACES: dict[str, tuple[Space, ...]] = {
    RANDOM: (),
    FROZEN: (HEAD,),
    LORA_RANK_4: (LoRA(rank=4), HEAD),
    FULL: (),
}


def trial(method: str, lr: float, seed: int = 0, test: bool = False) -> Iterator[Event]:
    """Run a method of `SPACES` for 400 steps.

    With a frozen body only the head trains, and `lr` is the learning rate of the head.
    """
    net = load_benchmark(BENCH)[0].untrained(seed) if method == RANDOM else None
    head_lr = lr if method == FROZEN else HEAD_LR
    yield from fine_tuning(
        BENCH, *SPACES[method], lr=lr, head_lr=head_lr, seed=seed, test=test, net=net, steps=STEPS
    )


def counting(c: float, words: int, seed: int = 0, test: bool = False) -> Iterator[Event]:
    """Classify the same sentences without a network: TF-IDF and logistic regression.

    Args:
        c: inverse strength of the regularisation, above 0.
        words: the longest n-gram that is counted, at least 1.
        seed: decides the training rows, as in `trial`.
        test: whether to evaluate on test as well.
    """
    data = load_benchmark(BENCH)[1].take(find_benchmark(BENCH).examples, seed)
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, words), sublinear_tf=True),
        LogisticRegression(C=c, max_iter=2000),
    )
    model.fit(data.train["text"][:], data.labels("train").numpy())

    def correct(stage: str, rows: int) -> np.ndarray:
        chosen = stratified(data.labels(stage), rows)
        predictions = model.predict(data.split(stage).select(chosen.tolist())["text"][:])
        return predictions == data.labels(stage)[chosen].numpy()

    valid = correct("valid", VALID_ROWS)
    yield Event(STEPS, "valid", {"valid/accuracy": float(valid.mean())})
    if test:
        tested = correct("test", len(data.test))
        accuracy = {"test/accuracy": float(tested.mean())}
        yield Event(STEPS, "test", accuracy, {"test/accuracy": packed(tested)})
