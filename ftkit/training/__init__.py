"""The training loop, its events, and what a step costs."""
