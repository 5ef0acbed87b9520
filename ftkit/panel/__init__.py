"""The live explorer: controls, a worker that trains, and plots that are repainted while it does."""
