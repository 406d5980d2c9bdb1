"""Those who wait, what they wait for, and what the thread that receives for them is to do."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from asgi_redis.engine.fanout import SharedMessage

if TYPE_CHECKING:
    from asgi_redis.aio.lanes import Lane

Message = dict[str, Any]


class Aim(NamedTuple):
    """What is to be received. ``first``: for somebody who has to know at once if that cannot be."""

    channels: tuple[str, ...]
    limit: int
    limits: dict[str, int] | None
    first: bool


class Popper(Protocol):
    """The thread that receives for an inbox."""

    def start(self) -> None:
        """Sees that it runs, with the lock held. Raises ``RuntimeError`` where no thread can be started."""

    def change(self) -> None:
        """Is called when ``aim`` has become another, with the lock held."""

    def is_down(self) -> bool:
        """Whether nothing can be received at this time."""


class Waiting:
    """
    A coroutine that waits for what comes through ``queue``, which is in ``lane``.

    ``told_by`` is the box in which there is a message for it, or None as yet.
    """

    __slots__ = ("channel", "future", "lane", "queue", "told_by")

    def __init__(self, channel: str, queue: str, lane: Lane, future: asyncio.Future[None]) -> None:
        self.channel = channel
        self.queue = queue
        self.lane = lane
        self.future = future
        self.told_by: Box | None = None


class Box:
    """
    One channel: its messages, each with the time when it expires, and those who wait for one, in their order.

    ``told`` is how many of the messages somebody was told of, who is about to take them.
    """

    __slots__ = ("messages", "told", "waiting")

    def __init__(self) -> None:
        self.messages: deque[tuple[float, Message | SharedMessage]] = deque()
        self.waiting: deque[Waiting] = deque()
        self.told = 0
