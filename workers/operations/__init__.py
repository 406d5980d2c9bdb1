"""Lifecycle hooks of the worker command, each chosen by a flag: metrics, limits, reloads, signs of life."""
