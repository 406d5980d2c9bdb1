"""Runs a worker with classic consumers: pulls messages, hands them to a pool, and stops in order."""
