"""Waiting in a coroutine."""

from __future__ import annotations

import asyncio
import time


async def until(predicate, timeout=10.0):
    """Returns when ``predicate()`` is true."""
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"not true within {timeout:g} s: {predicate}"
        await asyncio.sleep(0.002)


async def nothing_from(layer, channel, seconds=0.1):
    """Whether no message comes from ``channel`` for some time."""
    try:
        await asyncio.wait_for(layer.receive(channel), seconds)
    except asyncio.TimeoutError:
        return True
    return False


def waits(layer, channel):
    """Whether somebody waits for a message of ``channel``, and the receiving thread has found a server for it."""
    parts = [part for part in layer._parts if getattr(part, "_receiving", False)]
    box = layer._inbox._boxes.get(channel)
    return bool(parts and box and box.waiting and not layer._inbox.lanes.first.newcomers)
