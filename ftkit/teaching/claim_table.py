"""Claims of papers next to what was measured here, each with a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.teaching.cards import chip, inline, paragraph, table
from ftkit.teaching.display import Page

_KINDS = {"holds": "yes", "does not hold": "no", "inconclusive": "open"}
"""The kind of chip for each verdict."""
_COLUMNS = ["Claim", "Experiment here", "Result", "Verdict"]
_WIDTHS = (26, 25, 35, 14)
"""Of the columns, in percent."""


@dataclass(frozen=True)
class Finding:
    """One measured result.

    >>> str(Finding("digits", "+1.0 [+0.2, +1.7]", "beats"))
    'digits +1.0 [+0.2, +1.7], beats'

    Args:
        name: the benchmark or the comparison that it is about.
        figures: what came out, with its interval.
        verdict: "beats", "ties", "loses" or "inconclusive", where it is a comparison.
    """

    name: str
    figures: str = ""
    verdict: str = ""

    def __str__(self) -> str:
        measured = f"{self.name} {self.figures}" if self.figures else self.name
        return f"{measured}, {self.verdict}" if self.verdict else measured


@dataclass(frozen=True)
class Claim:
    """A sentence that can be wrong, and the evidence for or against it.

    Args:
        claim: the sentence, small enough to be tested.
        source: who says so: authors, year, arXiv id.
        experiment: what was run here to test it.
        results: what came out, one finding a comparison; or a text of your own, such as
            "-0.6 points [-1.4, 0.2], 8 paired seeds".
        verdict: "holds", "does not hold" or "inconclusive": here, at this size.

    Raises:
        ValueError: another verdict, or an empty field.
    """

    claim: str
    source: str
    experiment: str
    results: Sequence[Finding] | str
    verdict: str

    def __post_init__(self) -> None:
        if self.verdict not in _KINDS:
            raise ValueError(
                f"verdict must be one of {list(_KINDS)}, got {self.verdict!r}; "
                "when in doubt it is 'inconclusive'"
            )
        texts = {**vars(self), "results": self.statistic}
        empty = [name for name, text in texts.items() if not text.strip()]
        if empty:
            raise ValueError(
                f"every field of a claim must say something, got an empty {empty[0]}; "
                "without it the claim cannot be judged"
            )

    @property
    def lines(self) -> list[str]:
        """The results in words, one line each."""
        return [self.results] if isinstance(self.results, str) else list(map(str, self.results))

    @property
    def statistic(self) -> str:
        """The results in words, in one line."""
        return "; ".join(self.lines)


def claims(found: Sequence[Claim]) -> Page:
    """Show claims as a table: claim and source, experiment, results, verdict.

    Raises:
        ValueError: no claim is given.
    """
    if not found:
        raise ValueError("claims must get at least one Claim, got none; leave the table out")
    rows = [
        [
            inline(claim.claim) + paragraph(claim.source, small=True),
            inline(claim.experiment),
            inline("\n".join(claim.lines)),
            chip(_KINDS[claim.verdict], claim.verdict),
        ]
        for claim in found
    ]
    text = "\n".join(
        f"{claim.claim} ({claim.source})\n"
        f"  {claim.experiment}\n"
        f"  {claim.statistic}\n"
        f"  -> {claim.verdict}"
        for claim in found
    )
    page = Page("ask", [table(_COLUMNS, rows, _WIDTHS)], text)
    page.put()
    return page
