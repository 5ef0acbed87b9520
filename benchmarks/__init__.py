"""Speed benchmarks: `make bench`. Most are ratios within one run, because machines are noisy."""
