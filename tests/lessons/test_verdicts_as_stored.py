"""Every verdict, computed again from the recorded runs, is the one in the stored notebook."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from helpers.verdicts import OPEN, by_words

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.lessons import Lesson, lessons
from ftkit.lessons.the_picture import LESSON as PICTURE
from ftkit.lessons.the_picture.study import on_test
from ftkit.lessons.the_picture.trial import COUNTING, LORA_RANK_4, RANDOM
from ftkit.stats.paired import interval, verdict

JUDGED = [lesson for lesson in lessons().values() if lesson.judge]


def stored(lesson: Lesson) -> str:
    """Return all outputs of the stored notebook as text, one after another."""
    path = Path(__file__).parents[2] / "notebooks" / f"{lesson.name}.ipynb"
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "\n".join(
        "".join(output.get("text") or output.get("data", {}).get("text/plain", ""))
        for output in outputs
    )


@pytest.mark.parametrize("lesson", JUDGED, ids=lambda lesson: lesson.name)
def test_the_verdicts_are_those_written_down_and_those_of_the_notebook(lesson: Lesson) -> None:
    found = lesson.claims()
    expected = import_module(f"lessons.{lesson.folder}.verdicts").VERDICTS
    assert {words: claim.verdict for words, claim in by_words(found, expected).items()} == expected
    text = stored(lesson)
    for claim in found:
        missing = f"notebooks/{lesson.name}.ipynb must show the verdict on {claim.claim!r}"
        assert f"{claim.statistic}\n  -> {claim.verdict}" in text, f"{missing}; run make notebooks"


def test_lesson_00_shows_the_verdict_on_each_method() -> None:
    found = on_test(PICTURE.read()[0])
    text, says = stored(PICTURE), {}
    for method in (LORA_RANK_4, FROZEN, COUNTING, RANDOM):
        gaps = (found[method] - found[FULL]).tolist()
        says[method] = verdict(gaps)
        mean, low, high = (100 * value for value in interval(gaps))
        assert (
            f"{method} minus full: {mean:+5.1f} [{low:+.1f}, {high:+.1f}]: {says[method]}\n" in text
        )
    assert says == {LORA_RANK_4: OPEN, FROZEN: "loses", COUNTING: "loses", RANDOM: "loses"}
