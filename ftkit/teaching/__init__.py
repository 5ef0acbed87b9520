"""What the notebooks use to teach, and how they are stored.

>>> from ftkit.teaching import quiz
>>> options = {"A": "Then B alone would have to be drawn.", "B": "So nothing moves."}
>>> asked = quiz("Which factor of LoRA starts at zero?", options, "B")
Question: Which factor of LoRA starts at zero?
  - A
  - B
Answer with .answer("...")
>>> asked.answer("B")
Right: So nothing moves.
"""

# No module has the same name as one of these: importing it would replace the name by the module.
from ftkit.teaching.bug_hunt import bug
from ftkit.teaching.claim_table import Claim, claims
from ftkit.teaching.exercise import hint
from ftkit.teaching.predictions import predict, tally
from ftkit.teaching.quizzes import quiz
from ftkit.teaching.show_source import show

__all__ = ["Claim", "bug", "claims", "hint", "predict", "quiz", "show", "tally"]
