"""
One websocket: frames to the channels of workers, and replies to the client.

The messages are those of "WebSocket" in the "HTTP & WebSocket ASGI Message Format" of ASGI 1.x.
"""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from asgi_redis.connection import is_unsent
from asgi_redis.exceptions import ChannelFull, ChannelLayerError
from asgi_redis.interface.asgi import Receive, Scope, Send, facts_of, header_bytes
from asgi_redis.interface.client import ClientConnection
from asgi_redis.interface.read_ahead import Frame, ReadAhead
from asgi_redis.interface.replies import WEBSOCKET
from asgi_redis.interface.reply import CLOSE_NORMAL, Denial, SocketReply, parse_socket_reply
from asgi_redis.interface.services import Services
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message

logger = logging.getLogger("asgi_redis")

TOO_LARGE = 1009
ERROR = 1011
RESTART = 1012
OVERLOADED = 1013
_NO_CODE = 1005

_DENIAL = "websocket.http.response"
_CLOSE_SECONDS = 5.0  # for the close to be written to a client who does not read
_GONE_SECONDS = 1.0  # for the server to tell how a client has gone that cannot be written to
_CANCELLED_SECONDS = 1.0  # for the close where the server has cancelled the websocket
LEAVING_SECONDS = 10.0  # for the last messages of a server that ends


class WebSocket(ClientConnection):
    """A websocket of one client, from its handshake to its end."""

    parse = staticmethod(parse_socket_reply)

    def __init__(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(services, scope, receive, send)
        self.joined = False
        """Whether ``websocket.connect`` was or may have been sent: ``websocket.disconnect`` has to follow."""
        self._frames = ReadAhead(services.gate, self._not_sent)
        self._accepted = False
        self._ending = False
        self._code = _NO_CODE
        self._sent_code = 0  # the code of the close frame
        self._order = 0
        self._number = 0  # of the witnesses, which rise also where an order is given twice
        self._settles = False  # whether there is nothing more to do but to send the last frames
        self._left = False  # whether there is nothing more to do for the client

    async def run(self, too_many: bool = False) -> None:
        """Serve the websocket to its end; refuse it where there are ``too_many``."""
        await self._receive()  # websocket.connect
        self.channel = self._services.replies.add(WEBSOCKET, self)
        try:
            reads = await self._join(too_many)
            # A task, to be cancelled once the last event is written: some servers never end a receive() then.
            reader = self._reader = self.loop.create_task(self._read() if reads else self._wait())
            if self._left:
                reader.cancel()
            await asyncio.wait([reader])
            if not reader.cancelled():
                reader.result()
            if self._frames.sender is not None:
                await self._settle(self._frames.sender)
        except asyncio.CancelledError:
            await self._cancelled()
            raise
        finally:
            self._release()
            unsent = self._frames.cancel()
            if unsent is not None:
                self._order = unsent.message["order"] - 1
            if self.joined:
                await self._part()

    async def _settle(self, sender: asyncio.Task[None]) -> None:
        """Let the frames that wait be sent; for the client there is nothing more to do."""
        self._ending = True
        self._outbox.clear()
        self._stop_timer()
        self._settles = True
        if self._code == RESTART:
            self._hurry()
        await asyncio.wait([sender])

    def _hurry(self) -> None:
        """Give up the frames that are not sent in time, where the server ends."""
        if self._settles:
            self._after(LEAVING_SECONDS, self._frames.cancel)

    async def _cancelled(self) -> None:
        """Close the websocket where the server ends without another sign."""
        self._outbox.clear()
        if self._accepted and not self._ending:
            try:
                close = self._send({"type": "websocket.close", "code": RESTART})
                await asyncio.wait_for(close, _CANCELLED_SECONDS)
            except Exception as error:  # noqa: BLE001  each server has other errors for a client who has gone
                logger.debug("No close for the client of %r: %s: %s", self._path, type(error).__name__, error)
        self._code = RESTART

    # From the client

    async def _join(self, too_many: bool) -> bool:
        """Send ``websocket.connect``; return whether that has gone well."""
        if header_bytes(self._scope) > self._settings["max_header_bytes"]:
            self._refuse(431)
            return False
        if too_many:
            self._refuse(503)
            return False
        message = {
            "reply_channel": self.channel,
            **facts_of(self._scope),
            "subprotocols": list(self._scope.get("subprotocols", ())),
            "order": 0,
        }
        self.joined = True
        try:
            await self._services.gate.send_now("websocket.connect", message)
        except (ChannelFull, RedisError) as error:
            self.joined = isinstance(error, RedisError) and not is_unsent(error)
            self._warn("Refused a websocket", error)
            self._refuse(503)
            return False
        except ChannelLayerError as error:
            self.joined = False
            self._warn("Refused a websocket with 500", error)
            self._refuse(500)
            return False
        if not (self._accepted or self._ending):
            self._after(self._settings["websocket_handshake_timeout"], self._refuse_late)
        return True

    async def _read(self) -> None:
        """Send the client's frames to ``websocket.receive``, one after the other."""
        while not self._left:  # before Python 3.12, wait_for may swallow a cancellation
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                if not self._ending:
                    self._code = event.get("code", _NO_CODE)
                return
            if self._ending:
                continue
            text, data = event.get("text"), event.get("bytes")
            limit = self._settings["max_frame_bytes"]
            if len(data or text or b"") > limit or (text and 4 * len(text) > limit < len(text.encode())):
                self.close(TOO_LARGE)
                continue
            self._order += 1
            content = {"bytes": data} if text is None else {"text": text}
            message = {"reply_channel": self.channel, "path": self._path, **content, "order": self._order}
            self._number += 1
            await self._frames.add(Frame(message, Witness(self._id, self._number), len(data or text or b"")))

    def _not_sent(self, frame: Frame, error: Exception) -> None:
        """Close the websocket after a frame that was not sent; free its number."""
        self._order = frame.message["order"] - 1  # enforce_ordering would wait for the frame for ever
        if isinstance(error, (ChannelFull, RedisError)):
            self._warn("Closed a websocket whose frame could not be sent", error)
            self.close(OVERLOADED)
        elif isinstance(error, ChannelLayerError):
            self._warn("Closed a websocket whose frame is refused", error)
            self.close(ERROR)
        else:
            logger.error("Closed a websocket to %r", self._path, exc_info=error)
            self.close(ERROR)

    async def _wait(self) -> None:
        """Wait until the refusal is written, or the client has gone."""
        while (await self._receive())["type"] != "websocket.disconnect":
            pass

    async def _part(self) -> None:
        timeout = LEAVING_SECONDS if self._code == RESTART else self._services.layer.expiry
        await self._services.farewells.send(*self.farewell(self._code), timeout)

    def farewell(self, code: int) -> tuple[Message, Witness]:
        """Return the ``websocket.disconnect`` message, and its witness."""
        order = self._order + 1
        message = {"reply_channel": self.channel, "path": self._path, "code": code, "order": order}
        return message, Witness(self._id, self._number + 1)

    # To the client

    def deliver(self, reply: SocketReply) -> None:
        """Do as a consumer's reply says."""
        if self._ending:
            logger.debug("A reply to %r comes after the close", self._path)
            return
        if not self._accepted and not self._answer(reply):
            return
        if reply.frame is not None:
            if not self._outbox.has_room(reply.size, self._settings["max_buffered_bytes"]):
                self._warn("Closed a websocket", "its client does not read what it gets")
                self._outbox.clear()
                self.close(OVERLOADED)
                return
            self._outbox.put(reply.frame, reply.size)
        if reply.close is not None:
            self.close(reply.close)
        elif reply.accept is False:
            self.close()

    def _answer(self, reply: SocketReply) -> bool:
        """Answer the handshake as a reply says; return whether the websocket is open."""
        if reply.accept is False or reply.denial is not None:
            self._refuse(403, reply.denial)
        elif reply.accept or reply.frame is not None:
            self._accepted = True
            subprotocol = self._offered(reply.subprotocol)
            self._outbox.put({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
            self._after(self._settings["websocket_timeout"], self.close)
        elif reply.close is not None:
            self._refuse(403)
        return self._accepted

    def _offered(self, subprotocol: str | None) -> str | None:
        """Return the subprotocol if the client has offered it, as it has to be."""
        if subprotocol is None or subprotocol in self._scope.get("subprotocols", ()):
            return subprotocol
        reason = f"the client has not offered {subprotocol!r}"
        self._services.notices.add("Left out the subprotocol of a reply", self.channel, reason)
        return None

    def close(self, code: int = CLOSE_NORMAL) -> None:
        """Close the websocket, or refuse it where it is not open yet."""
        if self._ending:
            if code == RESTART:
                self._hurry()
            return
        if not self._accepted:
            self._refuse(503)
            return
        self._end(code)
        self._put_close(code)

    def _put_close(self, code: int) -> None:
        self._sent_code = code
        self._outbox.put({"type": "websocket.close", "code": code}, last=True)

    def _refuse_late(self) -> None:
        self._warn("Refused a late websocket", "no consumer has accepted it in time")
        self._refuse(403)

    def _refuse(self, status: int, denial: Denial | None = None) -> None:
        if self._ending:
            return
        self._end(CLOSE_NORMAL)
        if denial is None and status != 403:
            denial = Denial(status, [(b"retry-after", b"1")] if status == 503 else [], b"")
        if denial is None or _DENIAL not in self._scope.get("extensions", {}):
            self._outbox.put({"type": "websocket.close", "code": CLOSE_NORMAL}, last=True)
            return
        start = {"type": f"{_DENIAL}.start", "status": denial.status, "headers": denial.headers}
        self._outbox.put(start)
        body = {"type": f"{_DENIAL}.body", "body": denial.content, "more_body": False}
        self._outbox.put(body, len(denial.content), last=True)

    def _end(self, code: int) -> None:
        self._ending = True
        self._code = code
        self._after(_CLOSE_SECONDS, self._leave)

    def _leave(self) -> None:
        self._left = True
        if self._reader is not None:
            self._reader.cancel()

    def _written(self, size: int, last: bool) -> None:
        if last:
            self._leave()

    def _failed(self, error: Exception) -> None:
        logger.debug("The client of a websocket to %r has gone: %s: %s", self._path, type(error).__name__, error)
        if 1000 < self._sent_code < 3000:
            # daphne refuses to send these codes.
            self._put_close(self._sent_code + 3000)
        else:
            self._after(0.0 if self._ending else _GONE_SECONDS, self._leave)

    @property
    def _id(self) -> str:
        return self.channel.partition("!")[2]
