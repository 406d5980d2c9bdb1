"""``python -m benchmarks.monitoring``: the cost of seeing what is going on."""
