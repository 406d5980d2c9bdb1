"""One call of a receiver: what it wants, who takes part in it, and what it has taken so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from asgi_redis.connection import Hand
from asgi_redis.connection.blocking_pop import Readable
from asgi_redis.engine.fanout import Share
from asgi_redis.engine.limits import exhausted
from asgi_redis.engine.receive_order import Ask
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import ChannelSet

Batch = list[tuple[str, Any]]
"""Each message with its channel; where it is asked for, a ``SharedMessage`` in place of a group's message."""
Turn = list[tuple[int, list[bytes]]]
"""Shards, each with the keys of the queues to read there, in the order of this turn."""


class FailurePolicy(Protocol):
    """Somebody who receives from the shards that serve messages, and sees after those that fail."""

    @property
    def absent(self) -> Collection[int]:
        """The shards, and what is beside them, to leave out."""

    def readable(self, turn: Turn) -> Turn:
        """Returns what of the shards and their keys can be read at present."""

    @property
    def woken(self) -> bool:
        """Whether to return at once, with what is there."""

    waiter: WakeupPipe | None
    """What ends the wait that is going on."""

    def failed(self, shard: int, error: Exception, keys: Sequence[bytes] = (), waiting: bool = False) -> None:
        """Reading ``keys``, or waiting for them, has failed: from now on a shard, or some of them, cannot be read."""

    def served(self, shard: int, waiting: bool = False) -> None:
        """A shard has answered; ``waiting``: to a wait."""


class Source(Protocol):
    """Another place with messages, which is looked into and waited for together with the shards."""

    def take(self, limit: int) -> Batch:
        """Returns up to ``limit`` of the messages that are there."""

    def listen(self) -> Sequence[Readable]:
        """Returns what becomes readable when there may be more; to be called before looking a last time."""


class ReceiveCall(Hand):
    """
    What is to be received, and what was taken for it: messages off Redis, as in any ``Hand``, and ``shares``.

    ``full`` are the channels of which nothing may be taken. ``shares`` were taken from what this process keeps.
    Either is put back when the call ends by an exception.
    """

    __slots__ = (
        "__weakref__",
        "ask",
        "full",
        "limit",
        "limits",
        "policy",
        "reading",
        "shared",
        "shares",
        "source",
    )

    def __init__(
        self,
        reading: ChannelSet,
        limit: int,
        limits: Mapping[str, int] | None,
        policy: FailurePolicy | None,
        source: Source | None,
        shared: bool,
    ) -> None:
        super().__init__()
        self.reading = reading
        self.limit = limit
        self.limits = limits
        self.full: Collection[str] = exhausted(limits) if limits else ()
        self.policy = policy
        self.source = source
        self.shared = shared
        self.ask: Ask | None = None
        self.shares: list[Share] = []

    def let_go(self) -> None:
        """Forgets what was taken, and dropped since."""
        self.requests.clear()
        self.shares.clear()
