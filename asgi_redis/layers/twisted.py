"""The extension "twisted" of ASGI 1.x, which daphne 1.x uses."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any, Protocol

from asgi_redis.exceptions import MissingExtra
from asgi_redis.wire.message import Message, Received

try:
    from twisted.internet import reactor as _reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.threads import deferToThreadPool
    from twisted.python.failure import Failure
except ImportError as error:
    raise MissingExtra('receive_twisted needs Twisted: pip install "asgi_redis[twisted]"') from error

reactor: Any = _reactor  # a module in disguise, which type checkers cannot see through

_stopping = threading.Event()  # never cleared: a reactor runs only once


class ReceivingLayer(Protocol):
    """The calls of a layer that ``receive_twisted`` makes."""

    def receive(self, channels: Collection[str], block: bool = False) -> Received:
        """Receive a message."""

    def unblock(self) -> None:
        """End all waits."""

    def requeue(self, channel: str, message: Message) -> None:
        """Give a message to the next reader."""


def receive_twisted(layer: ReceivingLayer, channels: Collection[str]) -> Deferred[Received]:
    """
    Return a Deferred of ``layer.receive(channels, block=True)``.

    It waits in a thread of the reactor's pool. Cancelling it, or stopping the reactor, ends the wait at once. A
    message that arrives in that moment is requeued for the next reader in this process, or returned before the
    reactor stops. A call while the reactor stops does not wait: it gets (None, None) when the reactor has stopped.
    """
    if _stopping.is_set():
        nothing: Deferred[Received] = Deferred()
        reactor.addSystemEventTrigger("after", "shutdown", nothing.callback, (None, None))
        return nothing
    given_up = threading.Event()
    ended: Deferred[None] = Deferred()

    def give_up(_: object = None) -> None:
        given_up.set()
        layer.unblock()

    def stop() -> Deferred[None]:
        _stopping.set()
        triggers.clear()
        give_up()
        return ended  # the reactor waits for it

    def receive() -> Received:
        # A busy thread pool may begin after the end.
        return (None, None) if given_up.is_set() else layer.receive(channels, True)

    deferred: Deferred[Received] = Deferred(give_up)
    triggers = [reactor.addSystemEventTrigger("before", "shutdown", stop)]

    def done(result: Received | Failure) -> None:
        for trigger in triggers:
            reactor.removeSystemEventTrigger(trigger)
        if not deferred.called:
            deferred.callback(result)
        elif not isinstance(result, Failure):
            channel, message = result
            if channel is not None and message is not None:
                layer.requeue(channel, message)
        ended.callback(None)

    deferToThreadPool(reactor, reactor.getThreadPool(), receive).addBoth(done)
    return deferred
