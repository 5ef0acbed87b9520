"""Lesson 00, the picture: the task, the base, three slots, a first dial."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.the_picture import study
from ftkit.paths import kit_path

LESSON = Lesson(
    "00_the_picture",
    record=study.record,
    seeds=study.SEEDS,
    after=study.draw_picture,
    writes=(kit_path("data", "results", "00_the_picture.svg"),),
)
