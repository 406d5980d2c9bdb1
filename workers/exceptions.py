"""
What a consumer may raise to say something to the worker, and what the worker raises about its configuration.

The first kind has the names and the meaning that it has in Channels 1.1.8 (``channels/exceptions.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.message import Message


class WorkersError(Exception):
    """The root of every error of this package."""


class ConfigurationError(WorkersError, ValueError):
    """The worker cannot start with what it was given."""


class RoutingError(ConfigurationError):
    """A routing, route or filter is not one."""


class RoutingImportError(RoutingError, ImportError):
    """A dotted path to a routing or a consumer leads nowhere."""


LONGEST_DELAY = 86_400.0


class ConsumeLater(WorkersError):
    """
    Raised by a consumer that cannot handle its message yet: the message goes back to its channel.

    It comes back ten times at most; the last time, the message has a true attribute ``__doomed__``. With ``delay`` it
    comes back after so many seconds, as a delayed message; each further time, that is ``backoff`` times as long, but
    no more than a day. ``args`` are those of any exception. Raises ``ValueError`` for a ``delay`` that is not from 0
    to 86,400, and a ``backoff`` that is not from 1 to 100.
    """

    def __init__(self, *args: object, delay: float = 0.0, backoff: float = 1.0) -> None:
        if not 0 <= delay <= LONGEST_DELAY:
            raise ValueError(f"the delay of a ConsumeLater is from 0 to {LONGEST_DELAY:,.0f} seconds, not {delay!r}")
        if not 1 <= backoff <= 100:
            raise ValueError(f"the backoff of a ConsumeLater is from 1 to 100, not {backoff!r}")
        super().__init__(*args)
        self.delay = delay
        self.backoff = backoff

    def seconds(self, retry: int) -> float:
        """Returns after how many seconds the message is to come back; ``retry`` is 1 for the first time."""
        return min(self.delay * self.backoff ** (retry - 1), LONGEST_DELAY)


class DenyConnection(WorkersError):
    """Raised by a ``websocket.connect`` consumer to refuse the connection."""


class ChannelSocketException(WorkersError):
    """The base of exceptions that do something with the message once a consumer has raised them."""

    def run(self, message: Message) -> None:
        """Does it. Called by the worker, with pending sends still pending."""
        raise NotImplementedError


class WebsocketCloseException(ChannelSocketException):
    """
    Raised by a websocket consumer to close the connection.

    ``code`` is the close code to send, by default the one that the interface server chooses. Any integer is
    taken, as Channels 1.1.8 does, although RFC 6455 leaves only 1000 and 3000 to 4999 to applications.
    Raises ``ValueError`` for anything else.
    """

    def __init__(self, code: int | None = None) -> None:
        if code is not None and not isinstance(code, int):
            raise ValueError(f"a close code is an integer (1000, or 3000 to 4999), not {code!r}")
        super().__init__(code)
        self._code = code

    def run(self, message: Message) -> None:
        """
        Sends the close message to the reply channel.

        Raises ``ValueError`` when the message did not come from a websocket: neither its channel nor its reply
        channel is one of ``websocket.``. daphne 1.4.2 has reply channels of ``daphne.response.`` for all protocols.
        """
        reply = message.reply_channel
        if reply is None or not any(name.startswith("websocket.") for name in (message.channel.name, reply.name)):
            raise ValueError(f"WebsocketCloseException raised for {message.channel}: it has no websocket to close")
        reply.send({"close": self._code or True})


class SendNotAvailableOnDemultiplexer(WorkersError):
    """Raised by ``send`` and ``group_send`` of a demultiplexer: the multiplexer sends, it knows the stream."""
