"""Short names for the verdicts of claims."""

HOLDS, NOT, OPEN = "holds", "does not hold", "inconclusive"
