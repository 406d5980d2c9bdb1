"""Figures of README and docs: read from ``benchmarks/results``, written by ``python -m benchmarks.figures``."""
