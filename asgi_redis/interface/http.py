"""
One HTTP request: to the channel of workers, and the response to the client.

The messages are those of "HTTP" in the "HTTP & WebSocket ASGI Message Format" of ASGI 1.x. Responses also have flow
control: the request names a channel for acknowledgements, ``ack_channel``, and the most bytes of a response that may
be without one, ``window``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from http import HTTPStatus

from redis.exceptions import RedisError

from asgi_redis.exceptions import ChannelFull, ChannelLayerError
from asgi_redis.interface.asgi import Headers, Receive, Scope, Send, facts_of, header_bytes
from asgi_redis.interface.body import BodyError, RequestBody
from asgi_redis.interface.client import ClientConnection
from asgi_redis.interface.replies import HTTP
from asgi_redis.interface.reply import HTTPReply, parse_http_reply
from asgi_redis.interface.services import Services
from asgi_redis.wire.message import Message

logger = logging.getLogger("asgi_redis")

WINDOW_BYTES = 512 * 1024
_ACK_TIMEOUT_SECONDS = 5.0
_RETRY_AFTER = (b"retry-after", b"1")


class HTTPRequest(ClientConnection):
    """A request of one client, to the end of its response."""

    parse = staticmethod(parse_http_reply)

    def __init__(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(services, scope, receive, send)
        self._body = RequestBody(scope, receive, services.settings)
        self._done: asyncio.Future[None] = self.loop.create_future()
        self._body_channel = ""
        self._body_sent = False
        self._ack_channel = ""
        self._started = False
        self._complete = False
        self._answered = False  # whether the worker has sent all of its response
        self._gone = False  # whether the client has gone before that
        self._got = self._sent = self._acknowledged = 0  # bytes of content
        self._acks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the request."""
        if header_bytes(self._scope) > self._settings["max_header_bytes"]:
            self._answer(431)
            await self._done
            return
        try:
            first = await self._body.chunk()
        except BodyError as error:
            if error.status is not None:
                self._answer(error.status)
                await self._done
            return
        self.channel = self._services.replies.add(HTTP, self)
        try:
            if await self._pass_on(first):
                self._reader = self.loop.create_task(self._read())
            await self._done
        except asyncio.CancelledError:
            self._gone = True
            raise
        finally:
            self._release()
            if not self._answered and (self._reader is not None or self._gone):
                await self._part()

    # From the client

    async def _pass_on(self, first: bytes) -> bool:
        """Send ``http.request``; return whether that has gone well."""
        number = os.urandom(9).hex()
        self._ack_channel = f"http.response.ack?{number}"
        message: Message = {
            "reply_channel": self.channel,
            "http_version": self._scope.get("http_version", "1.1"),
            "method": self._scope["method"],
            **facts_of(self._scope),
            "body": first,
            "ack_channel": self._ack_channel,
            "window": WINDOW_BYTES,
        }
        if self._body.rest:
            self._body_channel = message["body_channel"] = f"http.request.body?{number}"
        try:
            await self._services.gate.send_now("http.request", message)
        except (ChannelFull, RedisError) as error:
            self._warn("Answered a request with 503", error)
            self._answer(503)
            return False
        except ChannelLayerError as error:
            self._warn("Answered a request with 500", error)
            self._answer(500)
            return False
        self._wait()
        return True

    async def _read(self) -> None:
        """Send the rest of the body to its channel, then wait for the client to go."""
        try:
            while self._body.rest:
                position = self._body.position
                chunk = await self._body.chunk()
                content = {"content": chunk, "more_content": self._body.rest, "position": position}
                await self._services.gate.send(self._body_channel, content, self._settings["http_timeout"])
                self._body_sent = not content["more_content"]
                self._wait()  # anew: a view may begin when it has the whole body
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except BodyError as error:
            if error.status is not None:
                self._answer(error.status)
                return
        except (ChannelFull, RedisError) as error:
            self._warn("Cut a request whose body is not taken", error)
            self._answer(503)
            return
        if not self._complete:
            self._gone = True
            self._finish()

    async def _part(self) -> None:
        """Tell the worker that its response is of no use any more."""
        tells = [self._tell(self._ack_channel, {"closed": True})]
        if self._body_channel and not self._body_sent:
            tells.append(self._tell(self._body_channel, {"closed": True}))
        if self._gone:
            # Few projects have a consumer for it: where the channel is full, it is left out.
            message = {"reply_channel": self.channel, "path": self._path}
            tells.append(self._tell("http.disconnect", message, waits=False))
        await asyncio.gather(*tells)

    async def _tell(self, channel: str, message: Message, waits: bool = True) -> None:
        """Send a message that is only a hint: without it the worker waits for its timeout."""
        gate = self._services.gate
        try:
            await (gate.send(channel, message, _ACK_TIMEOUT_SECONDS) if waits else gate.send_now(channel, message))
        except (ChannelLayerError, RedisError) as error:
            logger.debug("No message to %s: %s: %s", channel, type(error).__name__, error)

    # To the client

    def deliver(self, reply: HTTPReply) -> None:
        """Do as a consumer's reply says."""
        if self._complete:
            logger.debug("A reply to %r comes after its end", self._path)
            return
        if reply.error is not None or (reply.status is None and not self._started):
            error = reply.error or "the first has to have a status"
            self._services.notices.add("Dropped a reply", self.channel, f"{error} (a request to {self._path})")
            self._answer(500)
            return
        if not self._outbox.has_room(len(reply.content), self._settings["max_buffered_response_bytes"]):
            self._warn("Cut a response", "its client does not read it")
            self._finish()
            return
        if not self._started:
            self._start(reply.status or 200, reply.headers)
        self._got += len(reply.content)
        self._complete = self._answered = not reply.more
        content = b"" if self._scope["method"] == "HEAD" else reply.content
        event = {"type": "http.response.body", "body": content, "more_body": reply.more}
        self._outbox.put(event, len(content), last=not reply.more)
        if reply.more:
            self._wait()
        else:
            self._stop_timer()

    def _start(self, status: int, headers: Headers) -> None:
        self._started = True
        self._outbox.put({"type": "http.response.start", "status": status, "headers": headers})

    def _answer(self, status: int) -> None:
        """Answer with a status of the interface; cut a response that has begun."""
        if self._complete:
            return
        if self._started:
            self._finish()
            return
        self._complete = True
        body = f"{status} {HTTPStatus(status).phrase}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        self._start(status, [*headers, _RETRY_AFTER] if status == 503 else headers)
        self._outbox.put({"type": "http.response.body", "body": body, "more_body": False}, len(body), last=True)

    def _wait(self) -> None:
        """Wait for the next reply, for a limited time."""
        if not self._complete:
            self._after(self._settings["http_timeout"], self._timed_out)

    def _timed_out(self) -> None:
        self._warn("Answered a request with 504", "no consumer has answered in time")
        self._answer(504)

    def _written(self, size: int, last: bool) -> None:
        self._sent += size
        if last:
            self._finish()
        elif self._got > WINDOW_BYTES // 2 and self._sent - self._acknowledged >= WINDOW_BYTES // 2:
            self._acknowledged = self._sent
            task = self.loop.create_task(self._tell(self._ack_channel, {"written": self._sent}))
            self._acks.add(task)
            task.add_done_callback(self._acks.discard)

    def _failed(self, error: Exception) -> None:
        logger.debug("The client of a request to %r has gone: %s: %s", self._path, type(error).__name__, error)
        if self._complete:
            self._finish()

    def _finish(self) -> None:
        self._complete = True
        if not self._done.done():
            self._done.set_result(None)
