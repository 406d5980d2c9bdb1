"""``python -m benchmarks.cluster``: a Redis Cluster, and one plain Redis."""
