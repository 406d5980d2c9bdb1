"""Replies from the bytes of a connection, which may come in any pieces."""

from __future__ import annotations

import importlib
from typing import Any

from redis.exceptions import InvalidResponse

from asgi_redis.connection.redis_py import parse_error
from asgi_redis.wire import resp

try:
    hiredis: Any = importlib.import_module("hiredis")
except ImportError:
    hiredis = None  # redis-py does without, too

_MORE = object()
_PushNotification: Any = getattr(hiredis, "PushNotification", None)  # of RESP 3; before hiredis 3.2 they are lists


class ReplyReader:
    """Makes replies of bytes; among them errors and, if asked for, pushed messages."""

    def __init__(self, pushed: bool = True) -> None:
        self._pushed = pushed
        options = {"protocolError": InvalidResponse, "replyError": parse_error, "notEnoughData": _MORE}
        self._reader = None if hiredis is None else hiredis.Reader(**options)
        self._rest = b""

    def read(self, data: bytes) -> list[Any]:
        """
        Return the replies that ``data`` completes.

        Raises ``redis.exceptions.InvalidResponse`` for bytes that break the protocol, and then always.
        """
        if self._reader is None:
            return self._parse(data)
        self._reader.feed(data)
        # ``gets`` until there is no more of them: a call in C for each.
        replies = list(iter(self._reader.gets, _MORE))
        if not self._pushed and _PushNotification in map(type, replies):
            return [reply for reply in replies if type(reply) is not _PushNotification]
        return replies

    def _parse(self, data: bytes) -> list[Any]:
        self._rest += data
        try:
            replies, length = resp.replies_and_length(self._rest, parse_error, self._pushed)
        except ValueError as error:
            raise InvalidResponse(str(error)) from None
        self._rest = self._rest[length:]
        return replies
