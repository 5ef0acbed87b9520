"""The claims of a lesson by words of their sentences, and short names for their verdicts."""

from collections.abc import Iterable, Mapping

from ftkit.teaching.claim_table import Claim

HOLDS, NOT, OPEN = "holds", "does not hold", "inconclusive"


def by_words(claims: Iterable[Claim], words: Iterable[str]) -> dict[str, Claim]:
    """Return the claims, each by the words that only its sentence has.

    Raises:
        AssertionError: words that are in no sentence or in two, or a claim without words.
    """
    claims = list(claims)
    found: dict[str, Claim] = {}
    for key in words:
        fits = [claim for claim in claims if key in claim.claim]
        assert len(fits) == 1, f"one claim must say {key!r}, got {[each.claim for each in fits]}"
        found[key] = fits[0]
    rest = [each.claim for each in claims if each not in found.values()]
    assert not rest, f"every claim must have its words in the test, got none for {rest}"
    return found


def verdicts_by_name(claims: Iterable[Claim], names: Mapping[str, str]) -> dict[str, str]:
    """Return the verdicts by short names.

    Args:
        names: from a short name to words that only the sentence of its claim has.
    """
    found = by_words(claims, names.values())
    return {name: found[words].verdict for name, words in names.items()}
