"""
The rule of expiry: older than ``expiry`` seconds; exactly as old is not yet.

The scripts apply it to scores by the clock of the server: scores below ``now - expiry`` have expired.
``tests/unit/asgi_redis/wire/test_expiry.py`` holds each script to it.
"""

from __future__ import annotations

MAX_EXPIRY_SECONDS = 100 * 365 * 86400
"""The limit of ``expiry``, ``group_expiry`` and delays; Redis and its scripts count exactly up to there."""

MAX_WAIT_SECONDS = 1_000_000
"""The limit of the timeout of a receive."""


def is_expired(age: float, expiry: float) -> bool:
    """Return whether a message or a membership of this age has expired."""
    return age > expiry


def is_over(expires: float, now: float) -> bool:
    """Return the same for the time at which it becomes as old as ``expiry``."""
    return expires < now
