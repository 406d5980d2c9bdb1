"""Waiting in a coroutine."""

from __future__ import annotations

import asyncio
import time


async def until(predicate, timeout=20.0):
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
    """Whether a coroutine waits for a message of ``channel``, and a thread receives for it from a server."""
    mailboxes = layer._mailboxes
    receiving = any(thread.is_receiving for thread in mailboxes.receiver.threads)
    mailbox = mailboxes.by_channel.get(channel)
    return bool(receiving and mailbox and mailbox.waiters and not mailboxes.receiver.threads[0].new_waiters)


def notified(layer):
    """The coroutines that were notified of a message, and have not taken it yet."""
    return [waiter for mailbox in list(layer._mailboxes.by_channel.values()) for waiter in mailbox.notified]
