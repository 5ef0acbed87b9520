"""What the notebooks use to teach, and how they are stored.

>>> from ftkit.teaching import quiz
>>> asked = quiz("Which factor of LoRA starts at zero?", {"A": "Then B alone would have to be drawn.", "B": "So nothing moves."}, "B")
Question: Which factor of LoRA starts at zero?
  - A
  - B
Answer with .answer("...")
>>> asked.answer("B")
Right: So nothing moves.
"""

# No module is named like a name in it: importing the module would put it in the place of the name.
from ftkit.teaching.bug_hunt import bug
from ftkit.teaching.claim_table import Claim, claims
from ftkit.teaching.exercise import hint
from ftkit.teaching.predictions import predict, tally
from ftkit.teaching.quizzes import quiz
from ftkit.teaching.show_source import show

__all__ = ["Claim", "bug", "claims", "hint", "predict", "quiz", "show", "tally"]
