"""The types of ASGI 3, and the facts of a scope as ASGI 1.x messages have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from asgi_redis.wire.message import Message

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]


def facts_of(scope: Scope) -> Message:
    """
    Return the keys that ``http.request`` and ``websocket.connect`` share.

    See "HTTP & WebSocket ASGI Message Format" of ASGI 1.x, "Request" and "Connection".
    """
    facts: Message = {
        "scheme": scope.get("scheme", "ws" if scope["type"] == "websocket" else "http"),
        "path": scope["path"],
        "query_string": scope.get("query_string", b""),
        "root_path": scope.get("root_path", ""),
        "headers": _headers_of(scope),
    }
    for key in ("client", "server"):
        address = scope.get(key)
        if address is not None:
            facts[key] = list(address)
    return facts


def _headers_of(scope: Scope) -> list[list[bytes]]:
    # X_Forwarded_Proto would pass for X-Forwarded-Proto, which a proxy sets: in META both have one name.
    headers = [[name.lower(), value] for name, value in scope.get("headers", ()) if b"_" not in name]
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) > 1:  # as HTTP/2 may split them: RFC 9113, section 8.2.3
        headers = [header for header in headers if header[0] != b"cookie"]
        headers.append([b"cookie", b"; ".join(cookies)])
    return headers


def header_bytes(scope: Scope) -> int:
    """Return the size of the path, the query and the headers."""
    headers = sum(len(name) + len(value) + 4 for name, value in scope.get("headers", ()))
    return headers + len(scope["path"]) + len(scope.get("query_string", b""))
