"""Waiting for something to become true, instead of sleeping for as long as it probably takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], timeout: float = 20.0, interval: float = 0.005) -> T:
    """
    Calls ``predicate`` until it returns something true, and returns that.

    An exception counts as "not yet". After ``timeout`` seconds the last one is raised, or an
    ``AssertionError``.
    """
    deadline = time.monotonic() + timeout
    while True:
        error = None
        try:
            result = predicate()
            if result:
                return result
        except Exception as raised:  # noqa: BLE001  whatever it is, it may be gone the next time
            error = raised
        if time.monotonic() > deadline:
            raise error or AssertionError(f"not true within {timeout:g} s: {predicate}")
        time.sleep(interval)
