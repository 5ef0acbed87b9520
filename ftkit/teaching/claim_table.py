"""What papers claim beside what was measured here, with a verdict that may be "inconclusive"."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.teaching.cards import chip, inline, paragraph, table
from ftkit.teaching.display import Page

_KINDS = {"holds": "yes", "does not hold": "no", "inconclusive": "open"}
WIDTHS = (26, 25, 35, 14)


@dataclass(frozen=True)
class Claim:
    """A sentence that can be wrong, and what speaks for or against it.

    Args:
        claim: the sentence, small enough to be tested.
        source: who says so: authors, year, arXiv id.
        experiment: what was run here to test it.
        statistic: what came out, with interval and seeds: "-0.6 points [-1.4, 0.2], 8 paired seeds".
        verdict: "holds", "does not hold" or "inconclusive": here, at this size.

    Raises:
        ValueError: another verdict, or a field left empty.
    """

    claim: str
    source: str
    experiment: str
    statistic: str
    verdict: str

    def __post_init__(self) -> None:
        if self.verdict not in _KINDS:
            raise ValueError(
                f"verdict must be one of {list(_KINDS)}, got {self.verdict!r}; when in doubt it is 'inconclusive'"
            )
        if empty := [name for name, value in vars(self).items() if not value.strip()]:
            raise ValueError(
                f"every field of a claim must say something, got an empty {empty[0]}; a claim without it cannot be judged"
            )


def claims(found: Sequence[Claim]) -> Page:
    """Shows the claims as a table: claim and source, experiment, statistic, verdict.

    Raises:
        ValueError: no claim is given.
    """
    if not found:
        raise ValueError("claims must get at least one Claim, got none; leave the table out")
    rows = [
        [
            inline(c.claim) + paragraph(c.source, small=True),
            inline(c.experiment),
            _lines(c.statistic),
            chip(_KINDS[c.verdict], c.verdict),
        ]
        for c in found
    ]
    lines = [
        f"{c.claim} ({c.source})\n  {c.experiment}\n  {c.statistic}\n  -> {c.verdict}"
        for c in found
    ]
    shown = Page(
        "ask",
        [table(["Claim", "Experiment here", "Result", "Verdict"], rows, WIDTHS)],
        "\n".join(lines),
    )
    shown.put()
    return shown


def _lines(statistic: str) -> str:
    """What was found on each bench, a line each."""
    return inline(statistic.replace("; ", "\n"))
