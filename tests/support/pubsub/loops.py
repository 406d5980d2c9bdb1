"""Coroutines of the tests."""

from __future__ import annotations

import asyncio

HELLO = {"type": "hello", "bytes": b"\xff"}


def run(coroutine):
    """Runs it in a new loop."""
    return asyncio.run(asyncio.wait_for(coroutine, 50))


async def until(predicate):
    """Returns when it is so."""
    while not predicate():
        await asyncio.sleep(0.001)


def waits(layer, channel):
    """Whether a coroutine waits in receive."""
    inbox = layer.layer.subscriptions.inboxes.get(channel)
    return inbox is not None and bool(inbox.waiting) and inbox.confirmed
