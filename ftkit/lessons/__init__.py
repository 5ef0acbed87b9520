"""One folder a lesson, named like its notebook without the number.

A folder holds the study, the claims, the exercises, the planted bugs and the picture of its lesson.
`__init__.py` puts them together in `LESSON`. There is no list of lessons: `lessons()` finds the
folders.
"""

import pkgutil
from importlib import import_module

from ftkit.lessons.lesson import Lesson as Lesson


def lessons() -> dict[str, Lesson]:
    """Find every lesson; return them by number, such as "05", in order."""
    folders = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    unordered = [import_module(f"{__name__}.{folder}").LESSON for folder in folders]
    return {lesson.number: lesson for lesson in sorted(unordered, key=lambda lesson: lesson.name)}
