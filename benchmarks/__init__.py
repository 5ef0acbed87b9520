"""Speeds, measured as ratios in one run, since machines are noisy: `make bench`."""
