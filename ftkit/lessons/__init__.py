"""One folder a lesson, named as its notebook without the number: study, claims, exercises, bugs, picture.

Each folder's `__init__.py` holds `LESSON`. Nothing else registers a lesson: `lessons()` finds the folders.
"""

import pkgutil
from importlib import import_module

from ftkit.lessons.lesson import Lesson as Lesson


def lessons() -> dict[str, Lesson]:
    """Every lesson by its number, such as "05"."""
    folders = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)
    every = [import_module(f"{__name__}.{folder}").LESSON for folder in folders]
    return {lesson.number: lesson for lesson in sorted(every, key=lambda lesson: lesson.name)}
