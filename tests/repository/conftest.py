"""Fixtures of the tests of the repository."""

from tests.support.deployment import project

__all__ = ["project"]
