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

# No module is named like a name in it: importing the module would put it in the place of the name.
from ftkit.lesson.evidence import Claim, claims
from ftkit.lesson.exercise import hint
from ftkit.lesson.planted import bug
from ftkit.lesson.predictions import predict, tally
from ftkit.lesson.questions import quiz
from ftkit.lesson.sources import show

__all__ = ["Claim", "bug", "claims", "hint", "predict", "quiz", "show", "tally"]
