"""Mixtures and joint batches of several tasks, and the cosines of their gradients."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import pytest
import torch
from helpers.laws import HEAD
from helpers.nets import digits, net, small_task
from helpers.several_tasks import (
    LORA,
    alike,
    contrary,
    each,
    generator,
    gradients,
    joint,
    model,
    parity,
    run,
    third,
    tiny,
)
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.tasks.task import Task
from ftkit.techniques.freeze import Only
from ftkit.techniques.task_balancing import (
    GradNorm,
    PCGrad,
    Uncertainty,
    Weighted,
    losses,
)
from ftkit.techniques.task_mixing import WINDOW, Joint, Mixture, Together, cosines, proportional
from ftkit.training.loop import frozen_features


class TestMixture:
    @pytest.mark.parametrize("spaces", [(HEAD,), (LORA, HEAD), (Only("*"),)], ids=repr)
    @pytest.mark.parametrize("share", [1.0, 0.3])
    @pytest.mark.parametrize("of", [tiny, parity])
    def test_of_one_it_is_the_task(
        self, spaces: tuple[Any, ...], share: float, of: Callable[[], Task]
    ) -> None:
        models = [model(*spaces, tasks=(of(), contrary(of))) for _ in range(2)]
        assert run(models[0], Mixture((of(),), (share,)), seed=5) == run(models[1], of(), seed=5)
        assert all(
            torch.equal(a, b)
            for a, b in zip(models[0].trainable(), models[1].trainable(), strict=True)
        )

    def test_the_target_s_batches_come_as_they_do_alone(self) -> None:
        mixed = islice(Mixture((tiny(), third()), (1, 1)).batches(6, generator()), 60)
        mine = [batch.rows.tolist() for batch in mixed if batch.task == "tiny"]
        assert len(mine) > 12
        assert mine == [
            batch.rows.tolist() for batch in islice(tiny().batches(6, generator()), len(mine))
        ]

    @pytest.mark.parametrize("shares", [(1.0, 1.0, 2.0), (0.9, 0.05, 0.05)])
    def test_the_shares_are_met_in_the_long_run(self, shares: tuple[float, ...]) -> None:
        tasks, draws = (tiny(), third(), contrary()), 3000
        names = [
            batch.task for batch in islice(Mixture(tasks, shares).batches(4, generator()), draws)
        ]
        for task, share in zip(tasks, shares, strict=True):
            p = share / sum(shares)
            assert abs(names.count(task.name) - draws * p) < 4 * math.sqrt(draws * p * (1 - p))

    def test_the_same_seed_is_the_same_order_and_another_is_another(self) -> None:
        def drawn(seed: int) -> list[Any]:
            batches = Mixture((tiny(), third()), (2, 1)).batches(5, generator(seed))
            return [(batch.task, batch.rows.tolist()) for batch in islice(batches, 30)]

        assert drawn(1) == drawn(1)
        assert [task for task, _ in drawn(1)] != [task for task, _ in drawn(2)]
        assert [rows for task, rows in drawn(1) if task == "third"][:3] != [
            rows for task, rows in drawn(2) if task == "third"
        ][:3]

    @pytest.mark.parametrize(("shares", "comes"), [((1, 0), {"tiny"}), ((0, 1), {"third"})])
    def test_a_task_with_share_0_never_comes(
        self, shares: tuple[float, ...], comes: set[str]
    ) -> None:
        assert {
            batch.task
            for batch in islice(Mixture((tiny(), third()), shares).batches(4, generator()), 2000)
        } == comes

    def test_a_task_and_its_copy_do_not_come_with_the_same_rows(self) -> None:
        batches = islice(
            Mixture((tiny(), replace(tiny(), name="copy")), (1, 1)).batches(6, generator()), 20
        )
        rows: dict[str, list[Any]] = {"tiny": [], "copy": []}
        for batch in batches:
            rows[batch.task].append(batch.rows.tolist())
        assert rows["tiny"][:3] != rows["copy"][:3]

    @pytest.mark.parametrize(
        "data",
        [Mixture((third(), tiny()), (0, 1)), Together((third(), tiny()))],
        ids=["mixture", "together"],
    )
    def test_what_is_read_is_the_first_task_s(self, data: Any) -> None:
        assert data.split("valid") is third().valid
        assert torch.equal(data.labels("test"), third().labels("test"))
        assert data.batch("valid", torch.tensor([4, 2])).task == "third"
        assert data.batch("valid", torch.tensor([4, 2])).labels.tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("exponent", "shares"), [(0, (0.5, 0.5)), (1, (0.8, 0.2)), (0.5, (2 / 3, 1 / 3))]
    )
    def test_shares_are_in_proportion_to_a_power_of_the_size(
        self, exponent: float, shares: tuple[float, ...]
    ) -> None:
        tasks = [tiny(), tiny().take(6)]  # 24 rows and 6
        assert proportional(tasks, exponent) == pytest.approx(shares)

    def test_lora_a_mixture_and_weights_combine(self) -> None:
        base = net("bert", tiny(), third())
        before = {key: value.clone() for key, value in base.state_dict().items()}
        data, objective = Mixture((tiny(), third()), (1, 3)), Weighted({"tiny": 1.0, "third": 0.25})
        first = next(data.batches(6, generator()))
        assert first.task == "third"
        loss = supervised(base, first)["labels"].item()
        adapted = Adapted(base, LORA, HEAD)
        events = run(adapted, data, objective, steps=8)
        assert events[0].values["train/loss"] == pytest.approx(0.25 * loss, rel=1e-6)
        moved = {name for name, value in adapted.delta().items() if value.any()}
        assert moved == {*LORA.changes(base), *HEAD.changes(base)}
        assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())
        assert events == run(Adapted(base, LORA, HEAD), data, objective, steps=8)


class TestTogether:
    def test_each_step_brings_a_batch_of_every_task(self) -> None:
        for batch in islice(Together((tiny(), third())).batches(6, generator()), 5):
            assert [part.task for part in batch] == ["tiny", "third"]
            assert [len(part) for part in batch] == [6, 6]
            assert len(batch) == 12

    def test_the_batches_are_those_of_a_mixture_and_the_target_s_come_in_their_order(self) -> None:
        pairs = list(islice(Together((tiny(), third())).batches(6, generator()), WINDOW))
        mixed = list(islice(Mixture((tiny(), third()), (1, 1)).batches(6, generator()), 4 * WINDOW))
        drawn = [
            [batch.rows.tolist() for batch in mixed if batch.task == name][:WINDOW]
            for name in ("tiny", "third")
        ]
        ours, others = ([batch.parts[i].rows.tolist() for batch in pairs] for i in (0, 1))
        assert ours == drawn[0] and others != drawn[1] and sorted(others) == sorted(drawn[1])

    def test_joint_batches_are_of_similar_length(self) -> None:
        tasks = tiny(), third()
        pairs = list(islice(Together(tasks).batches(3, generator()), WINDOW))
        longest = [
            [int(task.lengths[batch.parts[i].rows].max()) for batch in pairs]
            for i, task in enumerate(tasks)
        ]
        assert len(set(longest[0])) > 1
        for (length, matched), (next_length, next_matched) in pairwise(
            sorted(zip(*longest, strict=True))
        ):
            assert length == next_length or matched <= next_matched

    @pytest.mark.parametrize("make", [lambda: Weighted(), lambda: PCGrad(3), lambda: GradNorm()])
    @pytest.mark.parametrize(
        "data", [Together((tiny(),)), Mixture((tiny(),), (2,))], ids=["together", "mixture"]
    )
    def test_one_task_is_the_task_whatever_the_objective(
        self, make: Callable[[], Any], data: Any
    ) -> None:
        assert run(model(LORA, HEAD), data, make()) == run(model(LORA, HEAD), tiny())

    def test_the_joint_data_holds_what_every_part_reads(self) -> None:
        batch = joint(start=3)
        texts = [text for part in batch for text in part.data.select(part.rows.tolist())["text"]]
        assert batch.data.select(batch.rows.tolist())["text"][:] == texts
        assert joint().data is batch.data

    def test_images_can_be_joined_too(self) -> None:
        batch = joint(digits(), replace(digits(), name="copy"))
        assert batch.data.column_names == ["image"]
        assert len(batch.data) == 2 * len(digits().train)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Weighted(),
            lambda: Uncertainty([tiny(), third()]),
            lambda: PCGrad(),
            lambda: GradNorm(),
        ],
    )
    def test_a_frozen_body_answers_once_for_every_row(self, make: Callable[[], Any]) -> None:
        base, data = net("bert", tiny(), third()), Together((tiny(), third()))
        calls: list[int] = []
        base.body.register_forward_hook(lambda *_: calls.append(1))
        adapted = Adapted(base, HEAD)
        first = run(adapted, data, make(), steps=8)
        assert (
            len(calls) == 2
        )  # one pass for the 42 rows of both, and one for those that are read on the way
        assert first == run(Adapted(base, HEAD), data, make(), steps=8)
        assert all(adapted.delta()[f"heads.{name}.weight"].any() for name in ("tiny", "third"))

    def test_features_computed_before_go_to_the_rows_they_belong_to(self) -> None:
        adapted, batch = model(HEAD), joint(start=2)
        ready = replace(batch, features=frozen_features(adapted.base, batch.data)[batch.rows])
        assert [part.features.shape for part in ready] == [(6, 16), (6, 16)]
        for name, loss in losses(adapted, batch).items():
            torch.testing.assert_close(losses(adapted, ready)[name], loss, atol=1e-6, rtol=1e-5)

    def test_without_an_objective_for_several_it_says_so(self) -> None:
        with pytest.raises(
            ValueError,
            match="the objective must be one for tiny, third together, got one for a single head",
        ):
            run(model(LORA, HEAD), Together((tiny(), third())))


class TestCosines:
    def test_they_are_those_of_the_gradients(self) -> None:
        adapted, batch = model(LORA, HEAD), joint()
        own = each(adapted, batch)
        whole = cosines(adapted, batch, lambda name: "body")
        assert whole == {
            "body": pytest.approx(torch.cosine_similarity(*own, dim=0).item(), abs=1e-5)
        }
        name = "body.encoder.layer.1.output.dense.weight"
        of_weight = [
            gradients(adapted, {part.task: supervised(adapted, part)["labels"]}, name)
            for part in batch
        ]
        assert cosines(adapted, batch, str)[name] == pytest.approx(
            torch.cosine_similarity(*of_weight, dim=0).item(), abs=1e-5
        )
        assert list(cosines(adapted, batch, str)) == list(LORA.changes(adapted.base))

    def test_there_is_one_for_each_block_and_for_the_embeddings(self) -> None:
        adapted, batch = model(Only("*")), joint()
        found = cosines(adapted, batch)
        assert list(found) == ["body.embeddings", "body.encoder.layer.0", "body.encoder.layer.1"]
        of_block = each(adapted, batch, "body.encoder.layer.1.")
        assert found["body.encoder.layer.1"] == pytest.approx(
            torch.cosine_similarity(*of_block, dim=0).item(), abs=1e-5
        )

    @pytest.mark.parametrize(("labels", "cosine"), [(lambda y: y, 1.0), (lambda y: 1 - y, -1.0)])
    def test_the_same_labels_agree_and_contrary_ones_do_not(
        self, labels: Callable[..., Any], cosine: float
    ) -> None:
        batch = tiny().batch(
            "train", torch.tensor([0])
        )  # of one row, whose gradient has one direction for either label
        other = replace(batch, labels=labels(batch.labels), task="contrary")
        found = cosines(alike(Only("*"), other=contrary()), Joint((batch, other)))
        assert list(found.values()) == pytest.approx([cosine] * 3, abs=1e-4)

    def test_what_no_task_moves_has_none(self) -> None:
        base = net("bert", tiny(), third())
        base.body.unused = nn.Parameter(torch.ones(3))
        assert "body.unused" not in cosines(Adapted(base, Only("*")), joint())
        assert cosines(Adapted(base, HEAD), joint()) == {}

    def test_it_leaves_no_gradient_behind(self) -> None:
        adapted = model(LORA, HEAD)
        cosines(adapted, joint())
        assert all(p.grad is None for p in adapted.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Mixture((), ()),
            "tasks must name at least one task, got none; the first is the target",
        ),
        (lambda: Together(()), "tasks must name at least one task, got none"),
        (
            lambda: Mixture((tiny(), small_task()), (1, 1)),
            "task names must differ, got tiny, tiny; rename one with dataclasses.replace",
        ),
        (lambda: Together((tiny(), small_task())), "task names must differ, got tiny, tiny"),
        (
            lambda: Mixture((tiny(), third()), (1,)),
            "there must be one share for each task, got 1 for 2",
        ),
        (
            lambda: Mixture((tiny(), third()), (1, -0.5)),
            r"every share must be at least 0 and finite, got \(1, -0.5\)",
        ),
        (
            lambda: Mixture((tiny(), third()), (1, math.nan)),
            r"every share must be at least 0 and finite, got \(1, nan\)",
        ),
        (
            lambda: Mixture((tiny(), third()), (1, math.inf)),
            r"every share must be at least 0 and finite, got \(1, inf\)",
        ),
        (
            lambda: Mixture((tiny(), third()), (0, 0)),
            r"the shares must not all be 0, got \(0, 0\); give one task a share above 0",
        ),
        (
            lambda: proportional([tiny()], 1.5),
            r"exponent must be from 0 \(equal shares\) to 1 \(by size\), got 1.5; give other",
        ),
        (lambda: proportional([tiny()], -0.5), "exponent must be from 0 .* got -0.5"),
        (
            lambda: cosines(model(HEAD), joint(tiny(), third(), contrary())),
            "a cosine must be of two tasks, got 3; .* Together with two",
        ),
        (lambda: cosines(model(HEAD), joint(tiny())), "a cosine must be of two tasks, got 1"),
    ],
)
def test_bad_values_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
