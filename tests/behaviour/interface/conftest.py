"""Fixtures of the tests of the interface."""

from tests.support.interface.fixtures import interface_for, memory_layer

__all__ = ["interface_for", "memory_layer"]
