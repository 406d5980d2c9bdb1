"""Looking at a layer over a store."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.facts import SERVERS_SECONDS, DelayedFacts, Found, PeekedMessage, ServerFacts
from asgi_redis.engine.rules import CallRules
from asgi_redis.engine.stores.store import Store


class StoreInspector:
    """The ``Inspector`` of a layer over ``store``; see ``asgi_redis.engine.facts``."""

    def __init__(self, store: Store, decoder: MessageDecoder, rules: CallRules) -> None:
        self._store = store
        self._decoder = decoder
        self._rules = rules

    def servers(self, timeout: float = SERVERS_SECONDS) -> list[ServerFacts]:
        """Return no servers: there are none."""
        return []

    def sweep(self) -> Iterator[Found]:
        """Go through all queues and groups, a step at a time."""
        return self._store.sweep(self._rules.group_expiry)

    def delayed(self, limit: int = 0) -> DelayedFacts:
        """Return zeros: a layer over a store has no delayed messages."""
        return DelayedFacts(0, 0, None, ())

    def peek(self, channel: str, limit: int, content: bool = False) -> list[PeekedMessage]:
        """Return the first messages of a channel, the oldest first, and leave them there."""
        self._rules.valid_channel_name(channel, receive=True)
        return [
            PeekedMessage(name, age, len(entry), self._decoder.decode_or_none(entry) if content else None)
            for name, age, entry in self._store.peek(channel, limit, self._rules.expiry)
        ]

    def purge(self, channel: str) -> int:
        """Delete the messages of a channel; return how many there were."""
        self._rules.valid_channel_name(channel, receive=True)
        return self._store.purge(channel, self._rules.expiry)
