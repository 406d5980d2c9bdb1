"""One call of a receiver, its sources, and its policy for a source that fails."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from asgi_redis.connection import Server, Take
from asgi_redis.engine.fanout import Share
from asgi_redis.engine.limits import exhausted
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import ChannelSet
from asgi_redis.wire.message import Limits

if TYPE_CHECKING:
    from asgi_redis.engine.stores.store import StoreListener

Turn = list[tuple[int, list[bytes]]]
"""The numbers of sources, each with the names of the queues to read there, in the order of this turn."""

_QUEUES_AT_ONCE = 5_000  # in one script, which takes about 3 ms of Redis's time
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.25  # between two looks at a server where one may not wait


class Source(Protocol):
    """A place that messages come from: a Redis server, or the store of this machine."""

    @property
    def name(self) -> object:
        """The name in the log."""

    @property
    def place(self) -> object:
        """The name of the server or the cluster that it is in, or is."""

    def probe(self) -> object:
        """Raise an error unless messages can be taken."""

    def try_to_wait(self) -> None:
        """Raise ``redis.exceptions.RedisError`` unless a wait for messages works."""

    def key(self, queue: bytes) -> bytes:
        """Return the key of a queue."""

    def wrong_types(self, queues: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the queues whose keys are none, with their types. Raises ``RedisError``."""

    def settle(self, deadline: float) -> bool:
        """Wait for late replies; return whether all are there by ``deadline``."""


class FailurePolicy:
    """Decides about a source that fails. By default its error is raised."""

    leaves_out = False
    """Whether sources that fail are left out, and servers that hang soon fail. Then no ``RedisError`` is raised."""
    woken = False
    """Whether to return at once, with the messages that are there."""
    pipe: WakeupPipe | None = None
    """The pipe that ends the current wait, of a policy for one thread."""

    @property
    def absent(self) -> Collection[int]:
        """The sources that are left out."""
        return ()

    def readable(self, turn: Turn) -> Turn:
        """Return the sources and queues that can be read at present."""
        return turn

    def failed(self, number: int, error: Exception, queues: Sequence[bytes] = (), waiting: bool = False) -> None:
        """Leave a source out, or some of its queues; ``waiting``: a wait has failed."""
        raise error

    def served(self, number: int, waiting: bool = False) -> None:
        """Note that a source has answered; ``waiting``: to a wait."""


RAISE_ERRORS = FailurePolicy()


class ReceiveCall:
    """
    One call: the messages that it wants, and has taken so far.

    ``takes`` hold messages off Redis, ``shares`` messages out of the buffer; both are put back when the call fails.
    With ``shared``, a message for several channels is returned as a ``SharedMessage``.
    """

    listener: StoreListener | None = None
    """It tells of messages on this machine while the call waits."""
    unblocked = 0
    """How often the receiver was unblocked before the call began."""
    waits_until = 0.0
    """When the caller's time to wait is over (``time.monotonic``), also for a shard that is on the move or away."""
    looks = False
    """Whether the call looks before it waits."""
    has_dropped = False
    """Whether messages were dropped where the call has looked: there may be others behind them."""
    is_registered = False
    """Whether the call is in the ``ReceiveOrder``."""
    hanging: Mapping[Server, RedisError] = {}
    """Servers that have not answered in the current look, which several shards may be on."""
    full: Collection[str] = ()
    """The channels that have no room left in ``limits``."""
    _pause = _FIRST_PAUSE_SECONDS

    def __init__(self, channels: ChannelSet, limit: int, policy: FailurePolicy, limits: Limits, shared: bool) -> None:
        self.channels = channels
        self.limit = limit
        self.limits = limits
        if limits:
            self.full = exhausted(limits)
        self.policy = policy
        self.shared = shared
        self.generation = fork.generation
        self.takes: list[Take] = []
        self.shares: list[Share] = []

    def forget(self) -> None:
        """Forget the requests that are done with, and messages that were dropped."""
        self.takes.clear()
        self.shares.clear()

    def in_parts(self, turn: Turn) -> Turn:
        """Return the same queues in order, as many together as one script may look into."""
        if len(self.channels.names) <= _QUEUES_AT_ONCE:  # nearly always
            return turn
        return [
            (number, queues[start : start + _QUEUES_AT_ONCE])
            for number, queues in turn
            for start in range(0, len(queues), _QUEUES_AT_ONCE)
        ]

    def next_pause(self) -> float:
        """Return the seconds until the next look where one may not wait: ever more."""
        pause = self._pause
        self._pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        return pause
