"""What the notebooks use to teach, and how they are stored.

>>> from ftkit.lesson import quiz
>>> asked = quiz("Which factor of LoRA starts at zero?", {"A": "Then B alone would have to be drawn.", "B": "So nothing moves."}, "B")
Question: Which factor of LoRA starts at zero?
  - A
  - B
Answer with .answer("...")
>>> asked.answer("B")
Right: So nothing moves.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftkit.lesson.evidence import Claim as Claim
    from ftkit.lesson.evidence import claims as claims
    from ftkit.lesson.exercise import hint as hint
    from ftkit.lesson.planted import bug as bug
    from ftkit.lesson.predictions import predict as predict
    from ftkit.lesson.predictions import tally as tally
    from ftkit.lesson.questions import quiz as quiz
    from ftkit.lesson.sources import show as show

# No module is named like a name in it: importing the module would put it in the place of the name.
_HOME = {
    "ftkit.lesson.evidence": ("Claim", "claims"),
    "ftkit.lesson.exercise": ("hint",),
    "ftkit.lesson.planted": ("bug",),
    "ftkit.lesson.predictions": ("predict", "tally"),
    "ftkit.lesson.questions": ("quiz",),
    "ftkit.lesson.sources": ("show",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'ftkit.lesson' has no attribute {name!r}")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
