"""The development server's log of requests, as Django's ``runserver`` writes it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from urllib.parse import quote

from asgi_redis.interface.asgi import Application, Event, Receive, Scope, Send

# Django's own: its formatter adds the time, and a colour for the status.
logger = logging.getLogger("django.server")

SERVER_ERROR = 500
UNAVAILABLE = 503
CLOSE = [(b"content-length", b"0"), (b"connection", b"close")]
TIME_FORMAT = "%d/%b/%Y %H:%M:%S"


class RequestLog:
    """
    ASGI middleware that logs the requests of an application to ``django.server``.

    An HTTP request is logged when its response is complete, the connection of a websocket with each step:
    HANDSHAKING, then CONNECT or REJECT, and DISCONNECT.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the web server."""
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            steps = _WebsocketSteps(scope)
            await self._application(scope, steps.receiving(receive), steps.sending(send))
        else:
            await self._application(scope, receive, send)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = _Response(scope)
        send = response.sending(send)
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:  # the server stops; it would log this as a fault of the application
            if response.status is None:
                await send({"type": "http.response.start", "status": UNAVAILABLE, "headers": CLOSE})
                await send({"type": "http.response.body"})
            # Otherwise the server closes the connection: an end would make a whole response of a part.
        except Exception:
            if response.status is None:
                response.status = SERVER_ERROR  # the server answers so
            raise
        finally:
            response.log()


class _Response:
    """The response of a request, as far as it was sent."""

    def __init__(self, scope: Scope) -> None:
        self.status: int | None = None
        self._scope = scope
        self._size = 0
        self._logged = False

    def sending(self, send: Send) -> Send:
        async def send_and_note(event: Event) -> None:
            if event["type"] == "http.response.start":
                self.status = event["status"]
            await send(event)
            if event["type"] == "http.response.body":
                self._size += len(event.get("body", b""))
                if not event.get("more_body"):
                    self.log()

        return send_and_note

    def log(self) -> None:
        """Log the request once, unless the client has gone before the response."""
        if self._logged or self.status is None:
            return
        self._logged = True
        level = logging.INFO if self.status < 400 else logging.WARNING if self.status < 500 else logging.ERROR
        line = f"{self._scope['method']} {_path_of(self._scope)} HTTP/{self._scope['http_version']}"
        _log(level, '"%s" %s %s', line, self.status, self._size, status_code=self.status)


class _WebsocketSteps:
    """The connection of a websocket, from its handshake to its end."""

    def __init__(self, scope: Scope) -> None:
        self._path = _path_of(scope)
        host, port = scope.get("client") or ("?", "?")
        self._client = f"{host}:{port}"
        self._over = False

    def receiving(self, receive: Receive) -> Receive:
        async def receive_and_note() -> Event:
            event = await receive()
            if event["type"] == "websocket.connect":
                self._log("HANDSHAKING")
            elif event["type"] == "websocket.disconnect":
                self._end("DISCONNECT")
            return event

        return receive_and_note

    def sending(self, send: Send) -> Send:
        accepted = False

        async def send_and_note(event: Event) -> None:
            nonlocal accepted
            await send(event)
            if event["type"] == "websocket.accept":
                accepted = True
                self._log("CONNECT")
            elif event["type"] in {"websocket.close", "websocket.http.response.start"}:
                self._end("DISCONNECT" if accepted else "REJECT")

        return send_and_note

    def _log(self, step: str) -> None:
        _log(logging.INFO, "WebSocket %s %s [%s]", step, self._path, self._client)

    def _end(self, step: str) -> None:
        if not self._over:
            self._over = True
            self._log(step)


def _log(level: int, line: str, *arguments: object, **extra: Any) -> None:
    # The time, as Django's formatter would write it for its own server: without milliseconds.
    logger.log(level, line, *arguments, extra={"server_time": time.strftime(TIME_FORMAT), **extra})


def _path_of(scope: Scope) -> str:
    """Return the path with the query string as the client has sent them, on one line."""
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string")
    return (path + (b"?" + query if query else b"")).decode("ascii", "backslashreplace")
