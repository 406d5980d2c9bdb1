"""
Runs one message: calls its consumer between the signals, whatever it raises.

The meaning of each exception is that of Channels 1.1.8's ``channels/worker.py``, except that here none of them ends
the worker, and that the content of a message is never logged.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from types import CoroutineType, ModuleType
from typing import Any, Callable, NamedTuple

from redis.exceptions import RedisError

from asgi_redis.connection import is_unsent
from asgi_redis.integrations.opentelemetry import processing
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.wire.message import Counter
from asgi_redis.wire.message import Message as Content
from workers import exceptions, signals
from workers.exceptions import ConsumeLater
from workers.message import Message
from workers.routing import Consumer, Router
from workers.runtime.contexts import run_apart
from workers.signals import Errors, sending
from workers.utils import name_that_thing

logger = logging.getLogger(__name__)

MAX_RETRIES = 10
RESEND_ATTEMPTS = 10
RESEND_SECONDS = 0.05

Observer = Callable[[str, str, float, bool], None]
OnFailure = Callable[[str, BaseException], None]
Postpone = Callable[[str, Content, float], None]
Count = Callable[[str, Counter], None]


class ConsumerAPI(NamedTuple):
    """
    The classes that consumers know: of this package, or of an installed Channels 1.

    ``message`` makes a message from its content, the name of its channel, and the layer. ``signals`` and
    ``exceptions`` are modules with the names of ``workers.signals`` and ``workers.exceptions`` in Channels 1.
    """

    message: Callable[[Content, str, BaseChannelLayer], Any]
    signals: ModuleType
    exceptions: ModuleType


OWN = ConsumerAPI(Message, signals, exceptions)


class Running(NamedTuple):
    """
    A message in progress.

    ``started`` is a time of ``time.monotonic``, ``ident`` the ``threading.get_ident`` of its thread or greenlet.
    """

    channel: str
    consumer: str
    started: float
    ident: int


class Dispatcher:
    """
    Passes messages of a layer to the consumers of a router; shared by all slots.

    ``done`` counts the messages that it has finished, ``failed`` those among them that were lost to an error, and
    ``retried`` messages that were sent again for ``ConsumeLater``.
    ``observers`` are called after each message, in its slot, with the channel, the name of the consumer, the seconds
    that it ran, and whether it failed. ``quieted`` is set when the worker stops. ``count`` is called with a channel
    and the name of its counter in the layer.

    ``sender`` is the sender of the signals. ``on_failure`` is called when an observer or a receiver of the signals
    has raised, with its name and the exception. ``postpone`` sends a message to a channel after some seconds, for
    ``ConsumeLater``; None where the layer cannot.
    """

    def __init__(
        self,
        router: Router,
        channel_layer: BaseChannelLayer,
        sender: object,
        consumer_api: ConsumerAPI = OWN,
        on_failure: OnFailure | None = None,
        postpone: Postpone | None = None,
    ) -> None:
        self.done = 0
        self.failed = 0
        self.retried = 0
        self.observers: list[Observer] = []
        self.quieted = False
        self.count: Count = _count_nothing
        self._router = router
        self._layer = channel_layer
        self._sender = sender
        self._message, self._exceptions = consumer_api.message, consumer_api.exceptions
        self._start = sending(consumer_api.signals.consumer_started)
        self._finish = sending(consumer_api.signals.consumer_finished)
        self._on_failure = on_failure or _log_failure
        self._postpone = postpone
        self._lock = threading.Lock()
        self._tickets = itertools.count()
        self._running: dict[int, Running] = {}

    def running(self) -> list[Running]:
        """Return the messages in progress, the oldest first."""
        return list(self._running.copy().values())  # a copy, because other slots go on

    def dispatch(self, channel: str, content: Content) -> None:
        """
        Run one message to its end, in this thread, in a new context. Never raises.

        Then run the messages that its consumer has left in ``then``, likewise. During a stop they go back to their
        channels, if there is room.
        """
        following = [*run_apart(self._dispatch, channel, content)]
        while following:
            channel, content = following.pop(0)
            if not (self.quieted and self._sent_back(channel, content)):
                following.extend(run_apart(self._dispatch, channel, content))

    def _sent_back(self, channel: str, content: Content) -> bool:
        """Return whether a message is, or may be, in its channel again."""
        try:
            self._layer.send(channel, content)
            self.count(channel, "messages_requeued")
        except self._layer.ChannelFull:
            return False
        except BaseException as error:
            if isinstance(error, RedisError) and is_unsent(error):
                return False
            logger.exception("A message could not go back to channel %r", channel)
        return True

    def _dispatch(self, channel: str, content: Content) -> list[tuple[str, Content]]:
        name = "?"
        ticket = next(self._tickets)
        then: list[tuple[str, Content]] = []
        failed = True
        debugs = logger.isEnabledFor(logging.DEBUG)
        started = time.monotonic()
        try:
            message = self._message(content, channel, self._layer)
            message.then = then
            if content.get("__retries__", 0) == MAX_RETRIES:
                message.__doomed__ = True
            match = self._router.match(message)
            if match is None:
                logger.error("No route for a message on channel %r: check the routing and its filters", channel)
            else:
                consumer, arguments = match
                name = name_that_thing(consumer)
                if debugs:
                    logger.debug("Message on channel %r goes to consumer %s", channel, name)
                # No lock: one step in C.
                self._running[ticket] = Running(channel, name, started, threading.get_ident())
                with processing(channel, content, name):
                    failed = not self._call(consumer, message, arguments)
        except BaseException:
            logger.exception("Error in consumer %s with a message on channel %r", name, channel)
        finally:  # a log handler that waits may be interrupted, too: by a gevent.Timeout that the consumer has left
            self._running.pop(ticket, None)
        with self._lock:
            self.done += 1
            self.failed += failed
        seconds = time.monotonic() - started
        if debugs:
            logger.debug("Consumer %s is done with a message on channel %r after %.4f s", name, channel, seconds)
        for observe in self.observers:
            try:
                observe(channel, name, seconds, failed)
            except BaseException as error:  # noqa: BLE001  the worker acts on it
                self._on_failure(f"the observer {name_that_thing(observe)}", error)
        return then

    def _call(self, consumer: Consumer, message: Any, arguments: dict[str, Any]) -> bool:
        errors = self._start(self._sender, environ={})
        started = not errors or self._judge(errors)
        try:
            done = self._consume(consumer, message, arguments)
        finally:
            # Also after an exception: the pending messages of the consumer are sent, as in Channels 1.
            errors = self._finish(self._sender)
            finished = not errors or self._judge(errors)
        return started and done and finished

    def _judge(self, errors: Errors) -> bool:
        """Return whether all errors are failed sends; others make the worker fail."""
        sent = True
        for receiver, error in errors:
            if isinstance(error, (RedisError, self._layer.ChannelFull)):
                # From the pending messages of Channels 1, for instance: a full channel is no reason to end.
                logger.error("Signal receiver %r could not send", receiver, exc_info=error)
                sent = False
            else:
                self._on_failure(f"signal receiver {receiver!r}", error)
        return sent

    def _consume(self, consumer: Consumer, message: Any, arguments: dict[str, Any]) -> bool:
        content = message.content
        try:
            result = consumer(message, **arguments)
            if result.__class__ is CoroutineType:
                from workers.loops.coroutines import run  # here, because few workers need asyncio

                run(result)
        except self._exceptions.DenyConnection:
            if message.channel.name != "websocket.connect" or message.reply_channel is None:
                raise ValueError("DenyConnection may be raised by consumers of websocket.connect only") from None
            message.reply_channel.send({"close": True})
        except self._exceptions.ChannelSocketException as exception:
            exception.run(message)
        except (self._exceptions.ConsumeLater, ConsumeLater) as later:
            return self._resend(message.channel.name, content, later)
        return True

    def _resend(self, channel: str, content: Content, later: Exception) -> bool:
        retries = content.get("__retries__", 0) + 1
        if retries > MAX_RETRIES:
            logger.warning("Dropped a message on channel %r: postponed %d times", channel, MAX_RETRIES)
            return False
        content = {**content, "__retries__": retries}
        seconds = later.seconds(retries) if isinstance(later, ConsumeLater) else 0
        if seconds and self._postpone is None:
            logger.warning("A message on channel %r is requeued at once: the layer delays no messages", channel)
        for _ in range(RESEND_ATTEMPTS):
            try:
                if seconds and self._postpone is not None:
                    self._postpone(channel, content, seconds)
                else:
                    self._layer.send(channel, content)
            except self._layer.ChannelFull:
                time.sleep(RESEND_SECONDS)
            else:
                with self._lock:
                    self.retried += 1
                self.count(channel, "messages_retried")
                return True
        logger.error("Dropped a message on channel %r: postponed, and the channel is full", channel)
        return False


def _count_nothing(channel: str, counter: Counter) -> None:
    """Count nothing: the default."""


def _log_failure(what: str, error: BaseException) -> None:
    logger.critical("Error in %s", what, exc_info=error)
