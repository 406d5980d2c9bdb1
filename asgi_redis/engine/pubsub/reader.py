"""The reading of a worker: outages are the listeners' business, and never raised."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.engine.outage import Outage
from asgi_redis.engine.pubsub.subscription import Inbox
from asgi_redis.engine.pubsub.subscriptions import Subscriptions, Taken

_CONFIRMED = 0.5  # seconds that a first call waits to be subscribed, at least

Batch = list[tuple[str, dict[str, Any]]]


class PubSubReader(LayerReader):
    """
    Receives for one thread. Any other may ``unblock`` it.

    ``serving`` is whether a server that one of the channels belongs to could be listened to by the end of the last
    call; false before the first one.
    """

    serving = False

    def __init__(
        self,
        subscriptions: Subscriptions,
        open_inboxes: Callable[[Collection[str]], list[Inbox]],
        decode: Callable[[Taken], Batch],
    ) -> None:
        self._subscriptions = subscriptions
        self._open = open_inboxes
        self._decode = decode
        self._woken = False
        self._refused = Outage("Redis, asked to subscribe,")

    def receive_batch(
        self,
        channels: Collection[str],
        limit: int,
        timeout: float = 0,
        limits: Mapping[str, int] | None = None,
        shared: bool = False,
    ) -> Batch:
        """
        Does what the layer's ``receive_batch`` does, with as many servers as can be reached.

        Takes no more than ``limits[channel]`` from a channel that is in there, none for 0. No message is ``shared``.
        """
        inboxes = self._open(channels)
        # The first call, and that after an outage, show at once that messages are served, and wait for it.
        was_serving = self.serving
        timeout = timeout if was_serving else max(timeout, _CONFIRMED)

        def is_ended() -> bool:
            return self._woken or (not was_serving and any(inbox.confirmed for inbox in inboxes))

        taken = self._subscriptions.receive(inboxes, limit, timeout, limits, is_ended)
        refusal = next((inbox.refusal for inbox in inboxes if inbox.refusal is not None), None)
        if refusal is not None:
            left = [inbox for inbox in inboxes if not inbox.ended]
            delay = min(timeout, self._refused.failed(refusal))
            taken = taken or self._subscriptions.receive(left, limit, delay, limits, lambda: self._woken)
        elif all(inbox.confirmed for inbox in inboxes):
            self._refused.succeeded()
        self.serving = any(inbox.confirmed for inbox in inboxes)
        self._woken = False
        return self._decode(taken)

    def unblock(self) -> None:
        """Ends ``receive_batch`` as if the time had run out; the next one, when none is going on."""
        self._woken = True
        self._subscriptions.wake()
