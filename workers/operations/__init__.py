"""Lifecycle hooks of the worker command, each chosen by a flag."""
