"""The exercises of lesson 05: `from ftkit.lessons.sparse import exercises as check`, then
`check.exactly(my_exactly)`."""

from ftkit.lessons.sparse.exercises.entry_counts import bytes_of, exactly
from ftkit.lessons.sparse.exercises.fisher_scores import per_example
from ftkit.lessons.sparse.exercises.regrow import regrow

__all__ = ["bytes_of", "exactly", "per_example", "regrow"]
