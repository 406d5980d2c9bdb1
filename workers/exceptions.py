"""
The exceptions of consumers, and the errors of the worker's configuration.

Those of consumers have the names and the meaning that they have in Channels 1.1.8 (``channels/exceptions.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from asgi_redis.exceptions import ConfigurationError as ConfigurationError

LONGEST_DELAY_SECONDS = 86_400.0
MAX_BACKOFF = 100


class WorkersError(Exception):
    """The root of the errors that this package adds to those of ``asgi_redis``."""


class RoutingError(WorkersError, ConfigurationError):
    """A routing, route or filter is not one."""


class RoutingImportError(RoutingError, ImportError):
    """A dotted path to a routing or a consumer leads nowhere."""


class ConsumeLater(WorkersError):
    """
    Raised by a consumer to requeue a message that it cannot handle yet.

    A message comes back at most ten times; the last time, it has a true attribute ``__doomed__``.

    Args:
        args: Those of any exception.
        delay: The seconds until the message comes back, from 0 to 86,400.
        backoff: The factor by which the delay grows each further time, up to a day; from 1 to 100.

    Raises:
        ValueError: ``delay`` or ``backoff`` is out of range.
    """

    def __init__(self, *args: object, delay: float = 0.0, backoff: float = 1.0) -> None:
        if not 0 <= delay <= LONGEST_DELAY_SECONDS:
            raise ValueError(
                f"the delay of a ConsumeLater is from 0 to {LONGEST_DELAY_SECONDS:,.0f} seconds, not {delay!r}"
            )
        if not 1 <= backoff <= MAX_BACKOFF:
            raise ValueError(f"the backoff of a ConsumeLater is from 1 to {MAX_BACKOFF}, not {backoff!r}")
        super().__init__(*args)
        self.delay = delay
        self.backoff = backoff

    def seconds(self, retry: int) -> float:
        """Return the seconds until the message comes back; ``retry`` begins at 1."""
        return min(self.delay * self.backoff ** (retry - 1), LONGEST_DELAY_SECONDS)


class DenyConnection(WorkersError):
    """Raised by a ``websocket.connect`` consumer to refuse the connection."""


class ChannelSocketException(WorkersError):
    """The base of exceptions that act on the message when a consumer raises them."""

    def run(self, message: _Message) -> None:
        """Act on the message, before the consumer's pending messages are sent."""
        raise NotImplementedError


class WebsocketCloseException(ChannelSocketException):
    """
    Raised by a websocket consumer to close the connection.

    Without a close ``code`` the interface server chooses one. Any integer is accepted, as in Channels 1.1.8, although
    RFC 6455 leaves only 1000 and 3000 to 4999 to applications. Raises ``ValueError`` for anything else.
    """

    def __init__(self, code: int | None = None) -> None:
        if code is not None and not isinstance(code, int):
            raise ValueError(f"a close code is an integer (1000, or 3000 to 4999), not {code!r}")
        super().__init__(code)
        self._code = code

    def run(self, message: _Message) -> None:
        """
        Send the close message to the reply channel.

        Raises ``ValueError`` when the message is not from a websocket: neither its channel nor its reply channel
        begins with ``websocket.``. (The reply channels of daphne 1.4.2 begin with ``daphne.response.``, always.)
        """
        reply = message.reply_channel
        if reply is None or not any(name.startswith("websocket.") for name in (message.channel.name, reply.name)):
            raise ValueError(f"WebsocketCloseException raised for {message.channel}: it has no websocket to close")
        reply.send({"close": self._code or True})


class ResponseLater(ChannelSocketException):
    """
    Raised by a view that leaves the response to another consumer.

    Also by a consumer of ``http.request``. The other consumer sends the response to the same reply channel.
    """

    def run(self, message: _Message) -> None:
        """Do nothing: the message is done."""


class RequestTimeout(WorkersError, OSError):
    """
    The rest of a request's body has not come for a while.

    Django makes an ``UnreadablePostError`` of it where a view reads the body.
    """


class RequestAborted(WorkersError, OSError):
    """The client has gone before the whole body of its request was there; likewise."""


class SendNotAvailableOnDemultiplexer(WorkersError):
    """Raised by ``send`` of a demultiplexer: only a multiplexer knows the stream."""


if TYPE_CHECKING:  # the parts of ``workers.message.Message``, which is above this module

    class _Channel(Protocol):
        name: str

        def send(self, content: dict[str, Any]) -> None: ...

    class _Message(Protocol):
        @property
        def channel(self) -> _Channel: ...
        @property
        def reply_channel(self) -> _Channel | None: ...
