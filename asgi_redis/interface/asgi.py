"""The types of ASGI 3, and the facts of a scope as ASGI 1.x messages have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
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
        "scheme": scope.get("scheme", "http"),
        "path": scope["path"],
        "query_string": scope.get("query_string", b""),
        "root_path": scope.get("root_path", ""),
        "headers": [[name.lower(), value] for name, value in scope.get("headers", ())],
    }
    for key in ("client", "server"):
        address = scope.get(key)
        if address is not None:
            facts[key] = list(address)
    return facts


def header_bytes(scope: Scope) -> int:
    """Return the size of the path, the query and the headers."""
    headers = sum(len(name) + len(value) + 4 for name, value in scope.get("headers", ()))
    return headers + len(scope["path"]) + len(scope.get("query_string", b""))


def checked_headers(headers: Any) -> Headers:
    """Return the headers of a reply. Raises ``ValueError`` unless they are pairs of bytes."""
    pairs: Iterable[Any] = headers.items() if isinstance(headers, dict) else headers
    if not isinstance(pairs, (list, tuple)) and not isinstance(headers, dict):
        raise ValueError(f"headers is a list of pairs of bytes, not a {type(headers).__name__}")
    checked = []
    for pair in pairs:
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(part, bytes) for part in pair)):
            raise ValueError("headers is a list of pairs of bytes, and one of them is something else")
        name, value = pair
        if b"\n" in name + value or b"\r" in name + value:
            raise ValueError("a header has a line break in it")
        checked.append((name.lower(), value))
    return checked


def checked_status(status: Any) -> int:
    """Return the status of a reply. Raises ``ValueError`` unless it is an HTTP status."""
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status is a whole number from 200 to 599, not {status!r}")
    return status


def checked_bytes(message: Message, key: str) -> bytes:
    """Return the bytes under a key of a reply, empty where it is missing."""
    content = message.get(key, b"")
    if not isinstance(content, bytes):
        raise ValueError(f"{key} is bytes, not {type(content).__name__}")
    return content
