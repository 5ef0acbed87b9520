from itertools import islice

import pytest
import torch
from helpers.laws import HEAD
from helpers.nets import net, small_task

from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
from ftkit.model.objective import supervised
from ftkit.tasks.task import Task, stratified, table
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Diverged, Event
from ftkit.training.loop import LearningRate, evaluate, frozen_features, schedule, train


def test_two_runs_may_take_turns() -> None:
    task = small_task()

    def trial(seed: int):  # type: ignore[no-untyped-def]
        return train(
            Adapted(net("bert"), LoRA(2), HEAD, seed=seed),
            task,
            steps=6,
            lr=1e-2,
            size=6,
            seed=seed,
        )

    alone = [list(trial(0)), list(trial(1))]
    turns = list(zip(trial(0), trial(1), strict=True))
    assert [list(run) for run in zip(*turns, strict=True)] == alone


def test_a_run_can_be_stopped_at_any_step() -> None:
    events = train(Adapted(net("bert"), HEAD), small_task(), steps=50, size=6, validations=0)
    assert [event.step for event in islice(events, 3)] == [1, 2, 3]


@pytest.mark.parametrize(("steps", "validations"), [(1, 4), (10, 0), (10, 3), (5, 9)])
def test_validations_are_early_and_the_last_one_is_after_the_last_step(
    steps: int, validations: int
) -> None:
    events = list(
        train(
            Adapted(net("bert"), HEAD), small_task(), steps=steps, size=6, validations=validations
        )
    )
    at = [event.step for event in events if event.stage == "valid"]
    assert len(at) <= validations
    assert at[-1:] == ([steps] if validations else [])
    assert len([event for event in events if event.stage == "train"]) == steps


def test_it_learns() -> None:
    task = small_task()
    model = Adapted(net("bert"), Only("*"))
    events = list(train(model, task, steps=60, lr=1e-2, size=8))
    assert events[-1].values["valid/accuracy"] == 1.0
    assert evaluate(model, task).accuracy == 1.0


def test_the_head_keeps_its_own_learning_rate() -> None:
    base, task = net("bert"), small_task()
    runs = [Adapted(base, Only("*")) for _ in range(2)]
    for model, lr in zip(runs, (1e-3, 0.0), strict=True):
        list(train(model, task, steps=1, lr=lr, size=6, validations=0))
    deltas = [model.delta() for model in runs]
    assert torch.equal(deltas[0]["heads.tiny.weight"], deltas[1]["heads.tiny.weight"])
    assert not deltas[1]["body.embeddings.word_embeddings.weight"].any()


def test_nothing_decays() -> None:
    model = Adapted(net("bert"), Only("*"))
    list(train(model, small_task(), steps=3, size=6, validations=0))
    unused = model.delta()["body.embeddings.word_embeddings.weight"][5000:]
    assert not unused.any()


def test_a_frozen_body_answers_once_and_the_same() -> None:
    base, task = net("bert"), small_task()
    calls = []
    base.body.register_forward_hook(lambda *_: calls.append(1))
    runs = [list(train(Adapted(base, HEAD), task, steps=10, size=6)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(calls) == 1  # 24 rows fit into one pass; all splits of this task are one dataset
    direct = torch.cat(
        [base.features(task.batch("train", rows)) for rows in torch.arange(24).split(6)]
    )
    torch.testing.assert_close(frozen_features(base, task.train), direct, atol=1e-6, rtol=1e-5)


def test_no_blocks_and_a_head_is_the_frozen_head() -> None:
    base, task = net("bert"), small_task()
    runs = [
        list(train(Adapted(base, *spaces), task, steps=5, size=6))
        for spaces in ((LastBlocks(0), HEAD), (HEAD,))
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (1, "the loss is nan before the first update, so that no learning rate is the cause"),
        (2, "the loss is nan at step 2; try a smaller lr than 0.3"),
    ],
)
def test_a_loss_of_nan_stops_the_run(first: int, message: str) -> None:
    calls = []

    def broken(model: Adapted, batch: object) -> dict[str, torch.Tensor]:
        calls.append(batch)
        factor = 1.0 if len(calls) < first else float("nan")
        return {"labels": supervised(model, batch)["labels"] * factor}

    with pytest.raises(Diverged, match=message):
        list(train(Adapted(net("bert"), HEAD), small_task(), lr=0.3, objective=broken, size=6))


def test_without_validations_data_are_batches_alone() -> None:
    class Batches:
        def batches(self, size: int, generator: torch.Generator) -> object:
            while True:
                yield torch.randn(size, 3, generator=generator)

    def squares(model: Adapted, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"squares": model(x).square().mean()}

    model = Adapted(torch.nn.Linear(3, 3))
    assert len(list(train(model, Batches(), steps=3, objective=squares, validations=0))) == 3  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="with its methods batches, batch, labels, split, got"):
        next(train(model, Batches(), objective=squares, validations=1))  # type: ignore[arg-type]


def test_terms_add_up_and_each_is_a_curve() -> None:
    def two(model: Adapted, batch: object) -> dict[str, torch.Tensor]:
        from ftkit.model.objective import supervised

        return {"labels": supervised(model, batch)["labels"], "constant": torch.tensor(2.0)}

    event = next(train(Adapted(net("bert"), HEAD), small_task(), objective=two, size=6))
    assert event.values["train/loss"] == pytest.approx(
        event.values["train/labels"] + event.values["train/constant"]
    )


@pytest.mark.parametrize(
    ("spaces", "steps", "message"),
    [
        ((HEAD,), 0, "steps must be at least 1, got 0"),
        ((LastBlocks(0),), 3, "the model must have trainable parameters"),
    ],
)
def test_bad_requests_are_refused(spaces: tuple[object, ...], steps: int, message: str) -> None:
    model = Adapted(net("bert"), *spaces)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        list(train(model, small_task(), steps=steps))


def test_the_schedule_rises_and_falls() -> None:
    shares = [schedule(step, 100) for step in range(1, 101)]
    assert max(shares) == shares[5] == 1.0
    assert shares[:6] == sorted(shares[:6])
    assert shares[6:] == sorted(shares[6:], reverse=True)
    assert 0 < shares[-1] < 0.02


def test_an_evaluation_keeps_every_answer_in_the_order_of_the_rows(docs: Task) -> None:
    model, rows = load_base("mini", docs), stratified(docs.labels("test"), 70)
    evaluation = evaluate(model, docs, "test", rows=70)
    with torch.no_grad():
        right = [
            int(model(docs.batch("test", row)).argmax() == docs.labels("test")[row])
            for row in rows.split(1)
        ]
    assert evaluation.correct.tolist() == right
    assert evaluation.accuracy == pytest.approx(sum(right) / 70)


def test_a_split_sorted_by_label_does_not_flatter_a_head_that_always_says_one_class() -> None:
    """In a split that is sorted by label the first rows are all of one class."""
    half = table([f"text {i}" for i in range(400)], [0] * 200 + [1] * 200, ("no", "yes"))
    task = Task("sorted", ("no", "yes"), half, half, half)
    model = load_base("mini", task)
    with torch.no_grad():
        model.heads["sorted"].bias.copy_(torch.tensor([100.0, 0.0]))
    for rows in (2, 50, 200):
        assert evaluate(model, task, "valid", rows=rows).accuracy == 0.5


def test_a_task_without_a_head_is_named() -> None:
    model = Adapted(net("bert"), HEAD)
    with pytest.raises(
        ValueError, match="the base must have a head for the task 'other', got heads for tiny"
    ):
        next(train(model, small_task("other")))


@pytest.mark.parametrize("lrs", [{"lr": -1.0}, {"head_lr": -1.0}])
def test_a_learning_rate_below_0_is_refused(lrs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="lr and head_lr must be at least 0"):
        next(iter(train(Adapted(net("bert"), HEAD), small_task(), steps=1, **lrs)))


def test_a_learning_rate_for_each_weight() -> None:
    base, task = net("bert"), small_task()

    def run(lr: LearningRate) -> tuple[list[Event], Adapted]:
        model = Adapted(base, Only("*"))
        return list(train(model, task, steps=4, lr=lr, size=6)), model

    assert run(lambda name: 1e-3)[0] == run(1e-3)[0], "one learning rate for all, to the bit"
    _, model = run(lambda name: 0.0 if ".layer.0." in name else 1e-3)
    for name, before, now in model.changed():
        assert torch.equal(before, now) == (".layer.0." in name), name
    with pytest.raises(ValueError, match="at least 0, got -1;"):
        run(lambda name: -1.0 if ".layer.1." in name else 1.0)
