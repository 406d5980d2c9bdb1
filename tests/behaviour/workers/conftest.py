"""Fixtures of the tests of workers."""

from tests.support.workers.fixtures import consumer, during_run, layer, notes

__all__ = ["consumer", "during_run", "layer", "notes"]
