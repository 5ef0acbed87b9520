"""Many runs: sweeps, resumable runs, learning-rate search, recording, benchmarks."""
