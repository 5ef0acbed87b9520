"""Statistics of paired runs: intervals, tests, verdicts, trade-offs."""
