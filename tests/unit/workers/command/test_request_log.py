"""The log of requests of the development server: lines, levels and colours."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

pytest.importorskip("django")

from django.core.management.color import make_style
from django.utils.log import ServerFormatter

from tests.support.workers import project as _  # noqa: F401  configures Django
from workers.command.request_log import RequestLog

HTTP = {
    "type": "http",
    "method": "GET",
    "http_version": "1.1",
    "path": "/a b",
    "raw_path": b"/a%20b",
    "query_string": b"q=1",
}
WEBSOCKET = {"type": "websocket", "path": "/chä\nt", "client": ("127.0.0.1", 5)}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("django.server"), "propagate", True)
    caplog.set_level(logging.INFO, "django.server")
    return caplog


def serve(application: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs one connection, and returns what was sent."""
    sent: list[dict[str, Any]] = []
    events = iter(received)

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    asyncio.run(RequestLog(application)(scope, receive, send))
    return sent


def responding(status: int, *parts: bytes) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    return application


@pytest.mark.parametrize(
    ("status", "level", "colour"),
    [
        (200, logging.INFO, "HTTP_SUCCESS"),
        (304, logging.INFO, "HTTP_NOT_MODIFIED"),
        (302, logging.INFO, "HTTP_REDIRECT"),
        (404, logging.WARNING, "HTTP_NOT_FOUND"),
        (403, logging.WARNING, "HTTP_BAD_REQUEST"),
        (500, logging.ERROR, "HTTP_SERVER_ERROR"),
    ],
)
def test_a_response_is_a_line_as_djangos(lines: Any, status: int, level: int, colour: str) -> None:
    serve(responding(status, b"abc", b"de"), HTTP)
    (record,) = lines.records
    line = f'"GET /a%20b?q=1 HTTP/1.1" {status} 5'
    assert (record.levelno, record.getMessage()) == (level, line)
    formatter = ServerFormatter("[{server_time}] {message}", style="{")
    formatter.style = make_style("dark")
    written = formatter.format(record)
    assert re.match(r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] ", written)
    painted = getattr(formatter.style, colour)('"%s" %s %s')
    assert written.partition("] ")[2] == painted.replace('"%s" %s %s', line)


def test_an_application_that_fails_is_a_500(lines: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        serve(application, HTTP)
    assert lines.messages == ['"GET /a%20b?q=1 HTTP/1.1" 500 0']


def test_a_line_has_the_path_as_the_client_has_sent_it_and_is_one_line(lines: Any) -> None:
    serve(responding(200), {**HTTP, "path": "/a/b", "raw_path": b"/a%2Fb", "query_string": b"\x85"})
    assert lines.messages == ['"GET /a%2Fb?\\x85 HTTP/1.1" 200 0']


def test_a_client_that_has_gone_before_the_response_is_no_line(lines: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    assert serve(application, HTTP, {"type": "http.disconnect"}) == []
    assert lines.messages == []


def test_a_request_that_the_end_of_the_server_cuts_is_a_503(lines: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    start, body = serve(application, HTTP)
    assert (start["status"], body) == (503, {"type": "http.response.body"})
    assert lines.messages == ['"GET /a%20b?q=1 HTTP/1.1" 503 0']


def test_a_response_that_the_end_of_the_server_cuts_is_not_completed(lines: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise asyncio.CancelledError

    assert [event.get("more_body") for event in serve(application, HTTP)] == [None, True]
    assert lines.messages == ['"GET /a%20b?q=1 HTTP/1.1" 200 4']


@pytest.mark.parametrize(
    ("sent", "received", "steps"),
    [
        (["accept"], ["connect", "disconnect"], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
        (["accept", "close"], ["connect", "disconnect"], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
        (["close"], ["connect"], ["HANDSHAKING", "REJECT"]),
        (["http.response.start", "http.response.body"], ["connect"], ["HANDSHAKING", "REJECT"]),
        ([], ["connect", "disconnect"], ["HANDSHAKING", "DISCONNECT"]),
    ],
)
def test_the_steps_of_a_websocket(lines: Any, sent: list[str], received: list[str], steps: list[str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in sent:
            await send({"type": f"websocket.{event}"})
        for _rest in received[1:]:
            await receive()

    serve(application, WEBSOCKET, *({"type": f"websocket.{event}"} for event in received))
    assert lines.messages == [f"WebSocket {step} /ch%C3%A4%0At [127.0.0.1:5]" for step in steps]


def test_other_scopes_are_passed_on(lines: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    assert serve(application, {"type": "lifespan"}) == [{"type": "lifespan.startup.complete"}]
