"""The record of lesson 07: the front of fixed weights and the methods beside it, and what the other task does to the target."""

from collections.abc import Iterator
from concurrent.futures import Executor

import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL, STEPS
from ftkit.experiments.rate_search import chosen, few, settled
from ftkit.experiments.sweep import grid, sweep
from ftkit.lessons.multitask import task_deltas as multitask_deltas
from ftkit.lessons.multitask import trial as multitask
from ftkit.lessons.multitask.trial import (
    ALTERNATING,
    EXAMPLES,
    FIXED,
    HELPS,
    HURTS,
    IMAGES,
    LEARNED,
    OWN,
    SHARES,
    WAYS,
    drawn,
)
from ftkit.techniques.task_mixing import proportional
from ftkit.training.events import Event

LRS = (3e-4, 1e-3, 3e-3)
HEAD_LRS = (3e-3, 1e-2, 3e-2, 1e-1)
LORA_LRS = (3e-3, 1e-2, 3e-2)
JUDGED = (HELPS, HURTS)
"""The pairs of which claims speak; of the third the panel has four seeds, and no test."""
SEEDS = tuple(range(8))

BALANCE, TRANSFER, DELTAS, CONFLICT = "balance", "transfer", "deltas", "conflict"
"""The parts of the record, in its column `part`. In the first, rates are chosen by the mean of both tasks; in the second, by the target."""


def balanced(
    pair: str,
    way: str,
    share: float,
    lr: float,
    examples: int = EXAMPLES,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    """The trial, for choosing by both: the last `valid/accuracy` is the mean over the tasks that train, the target's is `valid/target`."""
    for event in multitask.trial(pair, way, share, lr, examples, seed, test):
        if "valid/other" in event.values:
            target, other = event.values["valid/accuracy"], event.values["valid/other"]
            counted = [
                value
                for value, weight in ((target, share), (other, 1 - share))
                if way != FIXED or weight > 0
            ]
            event = Event(
                event.step,
                event.stage,
                {
                    **event.values,
                    "valid/target": target,
                    "valid/accuracy": sum(counted) / len(counted),
                },
            )
        yield event


def named_as_in_the_trial(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `balanced` with the target's accuracy as `valid/accuracy` again, and the mean as `valid/both`."""
    end = table["step"] == STEPS
    names = {"valid/accuracy": "valid/both", "valid/target": "valid/accuracy"}
    return table.assign(quantity=table["quantity"].where(~end, table["quantity"].replace(names)))


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study. Rates are chosen on valid with half of the seeds; what was chosen runs with all of them, and reads test once."""
    half, at = few(seeds), {"examples": [EXAMPLES], "lr": LRS}
    weighed = grid(pair=JUDGED, way=[FIXED], share=SHARES, **at, seed=half) + grid(
        pair=JUDGED, way=LEARNED, share=[0.5], **at, seed=half
    )
    front = settled(balanced, weighed, ["pair", "way", "share"], seeds, executor)
    together = grid(pair=JUDGED, way=[FIXED], share=[0.5], **at, seed=half)
    turns = grid(pair=[HELPS], way=[ALTERNATING], share=[0.5, by_size(HELPS)], **at, seed=half)
    shown = grid(pair=[IMAGES], way=WAYS, share=[0.5], examples=[EXAMPLES], lr=LRS[1:2], seed=half)
    controls = grid(pair=[HELPS, IMAGES], method=[FULL], **at, seed=half)
    controls += grid(
        pair=[HELPS, IMAGES], method=[FROZEN], examples=[EXAMPLES], lr=HEAD_LRS, seed=half
    )
    loras = grid(pair=[HELPS], examples=[EXAMPLES], lr=LORA_LRS, seed=half)
    mine = [
        named_as_in_the_trial(front).assign(part=BALANCE),
        settled(
            multitask.trial, together + turns, ["pair", "way", "share"], seeds, executor
        ).assign(part=TRANSFER),
        sweep(multitask.trial, shown, executor).assign(part=TRANSFER),
    ]
    beside = [
        for_every_pair(
            settled(multitask.alone, controls, ["pair", "method"], seeds, executor)
        ).assign(part=TRANSFER),
        settled(multitask_deltas.mixing, loras, ["pair"], seeds, executor).assign(
            part=DELTAS, method="LoRA"
        ),
    ]
    rates = sorted({chosen(mine[1], pair=pair, way=FIXED, share=0.5) for pair in JUDGED})
    looked = grid(
        pair=JUDGED, lr=rates, seed=seeds
    )  # every pair at the rates of all: what is compared may not differ in its rate
    opposed = sweep(multitask_deltas.conflict, looked, executor, keep=("pull",)).assign(
        part=CONFLICT, way=FIXED, examples=EXAMPLES
    )
    whole = pd.concat(
        [*(table.assign(method=OWN) for table in [*mine, opposed]), *beside], ignore_index=True
    )
    return whole.fillna({"way": "", "share": 0.5})


def by_size(pair: str) -> float:
    """The target's share of the steps if tasks come in proportion to their training rows."""
    return round(proportional(drawn(pair, EXAMPLES, 0), 1.0)[0], 4)


def for_every_pair(controls: pd.DataFrame) -> pd.DataFrame:
    """The controls of the target alone, which know of no other task, under the names of all pairs with that target."""
    return pd.concat(
        [controls, controls[controls["pair"] == HELPS].assign(pair=HURTS)], ignore_index=True
    )


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """What the panel stands on: each run once, under every share where its way has no use for one; and the controls."""
    runs = table[
        table["part"].isin([BALANCE, TRANSFER])
        & table["quantity"].str.contains("^valid/accuracy$|^valid/loss$|^cost/")
    ]
    runs = runs.drop(columns="part")
    runs = runs.drop_duplicates([name for name in runs if name != "value"])
    learned = runs["way"].isin(LEARNED)
    return pd.concat(
        [runs[~learned], *(runs[learned].assign(share=share) for share in SHARES)],
        ignore_index=True,
    )
