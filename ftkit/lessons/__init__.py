"""The experiments behind the recorded results: `make results` runs them and writes data/results."""
