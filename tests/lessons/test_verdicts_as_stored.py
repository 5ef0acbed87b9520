"""Every verdict of every lesson, recomputed from its record, and found again in what the lesson's notebook stores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.lessons.__main__ import STUDIES
from ftkit.lessons.bitfit.claims import bitfit_claims
from ftkit.lessons.can_lora_be_beaten.claims import board_claims
from ftkit.lessons.distillation.claims import distill_claims
from ftkit.lessons.limits_of_lora.claims_cost import cost_claims
from ftkit.lessons.limits_of_lora.claims_far_tasks import far_claims
from ftkit.lessons.lora import study as lora
from ftkit.lessons.lora.claims import lora_claims
from ftkit.lessons.multitask.claims import multitask_claims
from ftkit.lessons.sparse.claims import sparse_claims
from ftkit.lessons.the_lora_family.claims import family_claims
from ftkit.lessons.the_picture.study import COUNTING, LORA, RANDOM, on_test
from ftkit.lessons.transfer_learning.claims import transfer_claims
from ftkit.paths import kit_path
from ftkit.stats.paired import interval, verdict
from ftkit.storage import read_table
from ftkit.teaching.claim_table import Claim

Judge = Callable[[pd.DataFrame, dict[str, Any]], list[Claim]]
JUDGES: dict[str, Judge] = {
    "01": lambda table, about: transfer_claims(table),
    "02": lambda table, about: lora_claims(table, about, lora.EQUAL),
    "03": lambda table, about: [*far_claims(table), *cost_claims(table, about)],
    "04": lambda table, about: bitfit_claims(table),
    "05": lambda table, about: sparse_claims(table),
    "06": distill_claims,
    "07": lambda table, about: multitask_claims(table),
    "08": lambda table, about: family_claims(table),
    "09": lambda table, about: board_claims(table),
}
HOLDS, NOT, OPEN = "holds", "does not hold", "inconclusive"
VERDICTS = {
    "01": [NOT, HOLDS, NOT, NOT, NOT, NOT, OPEN, HOLDS],
    "02": [OPEN, NOT, NOT, NOT, HOLDS, NOT, NOT],
    "03": [
        NOT,
        NOT,
        NOT,
        NOT,
        HOLDS,
        NOT,
        NOT,
        OPEN,
        OPEN,
        OPEN,
        HOLDS,
        OPEN,
        NOT,
        HOLDS,
        NOT,
        NOT,
    ],
    "04": [OPEN, HOLDS, HOLDS, OPEN, HOLDS, NOT, NOT],
    "05": [NOT, NOT, OPEN, NOT, HOLDS, NOT, OPEN, NOT],
    "06": [HOLDS, OPEN, NOT, NOT, HOLDS, NOT, HOLDS, OPEN, NOT],
    "07": [HOLDS, NOT, HOLDS, HOLDS, HOLDS, OPEN, NOT, OPEN],
    "08": [NOT] * 6 + [HOLDS, OPEN, NOT, OPEN],
    "09": [HOLDS, HOLDS, OPEN, NOT],
}


def judged(lesson: str) -> list[Claim]:
    return JUDGES[lesson](*read_table(kit_path("data", "results", STUDIES[lesson][1])))


def stored(lesson: str) -> str:
    """What the stored notebook says in words, all outputs one after another, printed ones too."""
    (path,) = (Path(__file__).parents[2] / "notebooks").glob(f"{lesson}_*.ipynb")
    outputs = [
        output
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", [])
    ]
    return "\n".join(
        "".join(output.get("text") or output.get("data", {}).get("text/plain", ""))
        for output in outputs
    )


@pytest.mark.parametrize("lesson", JUDGES)
def test_the_record_says_what_it_said_and_the_stored_lesson_says_the_same(lesson: str) -> None:
    found = judged(lesson)
    assert [claim.verdict for claim in found] == VERDICTS[lesson]
    text = stored(lesson)
    for claim in found:
        assert f"{claim.statistic}\n  -> {claim.verdict}" in text, claim.claim


def test_lesson_00_says_of_each_method_what_the_record_says() -> None:
    found = on_test(read_table(kit_path("data", "results", STUDIES["00"][1]))[0])
    says = {}
    for method in (LORA, FROZEN, COUNTING, RANDOM):
        gaps = (found[method] - found[FULL]).tolist()
        says[method] = verdict(gaps)
        mean, low, high = (100 * value for value in interval(gaps))
        assert (
            f"{method} minus full: {mean:+5.1f} [{low:+.1f}, {high:+.1f}]: {says[method]}\n"
            in stored("00")
        )
    assert says == {LORA: OPEN, FROZEN: "loses", COUNTING: "loses", RANDOM: "loses"}
