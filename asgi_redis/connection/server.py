"""
One Redis server as a blocking caller sees it: operations in, results out.

A connection serves one call at a time, and then the next call of any thread. No request is ever sent twice: an error
in the middle of a call closes the connection, and the caller gets the error. Connecting, and finding out that an idle
connection has died, come before the first byte of a request.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from asgi_redis.connection import redis_py
from asgi_redis.connection.errors import explain, wrong_type_error
from asgi_redis.connection.host import Host
from asgi_redis.connection.idle import IdleOfHub
from asgi_redis.connection.permissions import Permissions
from asgi_redis.connection.pool import FRESH_SECONDS, ConnectionPool
from asgi_redis.connection.replies import ReplyReader
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process import fork
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS, BackgroundReplies
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.server import types

_KEYS_LOOKED_AT = 1000  # to find a key of another type
_EXPLAINED = (ResponseError, AuthenticationError)
_SENT = b":1\r\n"  # the reply to nearly every send needs no parser


class Server(ConnectionPool):
    """The connections to one host, and the operations on them."""

    has_backlog = False
    """Whether the last message from there had waited for its reader."""

    def __init__(self, host: Host, keeps_keys: bool = True) -> None:
        self.background_replies = BackgroundReplies(f"late reply of {host}")
        self.permissions = Permissions()
        super().__init__(host, keeps_keys)

    def execute(self, operation: Operation, fail_fast: bool = False, spare: bool = False) -> Any:
        """
        Send one operation and return the meaning of its replies.

        With ``fail_fast`` it waits up to ``HANG_TIMEOUT_SECONDS`` for the reply, then raises ``TimeoutError``.

        Raises ``redis.exceptions.RedisError``. After a ``ConnectionError`` or a ``TimeoutError`` Redis may or may not
        have carried it out.
        """
        connection = self.checkout(fail_fast, spare)
        try:
            self.send(connection, operation.packed, fail_fast)
            if fail_fast:
                self._await_reply(connection)
            reply = self.read(connection, operation)
        except BaseException as error:
            self.after_error(connection, error)
            if isinstance(error, ResponseError):
                explained = self.with_key(error, operation)
                if explained is not error:
                    raise explained from error
            raise
        self.release(connection)
        return operation.read(reply)

    def _await_reply(self, connection: Any) -> None:
        if not redis_py.has_reply(connection, HANG_TIMEOUT_SECONDS):
            raise TimeoutError(f"{self.host} has not answered within {HANG_TIMEOUT_SECONDS:g} s")

    def read(self, connection: Any, operation: Operation) -> Any:
        """Return the reply to an operation that was sent, or the list of its replies."""
        data, number = redis_py.receive(connection), operation.replies
        if data == _SENT and number == 1:
            return 1
        replies = _read_replies(connection, data, number)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # Redis has run nothing: asking again cannot repeat anything.
            redis_py.write(connection, operation.with_text())
            replies = _read_replies(connection, redis_py.receive(connection), number)
        for reply in replies:
            if isinstance(reply, RedisError):
                self._raise(reply)
        return replies[0] if number == 1 else replies

    def _raise(self, error: RedisError) -> NoReturn:
        explained = self.explain(error) if isinstance(error, _EXPLAINED) else error
        if explained is error:
            raise error
        raise explained from error

    def explain(self, error: Exception) -> Exception:
        """Return the error that callers get for an error reply; mostly the same."""
        if redis_py.lacks_command(error) and not self._examination.version:
            with contextlib.suppress(RedisError):
                self.server_now()
        return explain(self.host, self._examination.version or "?", error, self.host.in_cluster)

    def with_key(self, error: Exception, operation: Operation) -> Exception:
        """Ask Redis for the key of another type that an error is about; add its name."""
        if not redis_py.is_wrong_type(error):
            return error
        keys = operation.keys()[:_KEYS_LOOKED_AT]
        try:
            kinds = self.execute(types(keys), fail_fast=True, spare=True)
        except (RedisError, UnsupportedRedis):
            return error
        # Counters are hashes; they come after the queues.
        wrong = next((found for found in zip(keys, kinds) if found[1] not in (b"zset", b"none")), None)
        return wrong_type_error(self.host, *wrong) if wrong else error

    def checkout_for_loop(self) -> Any | None:
        """Return a connection for an event loop, or None where that takes waiting."""
        fork.check()
        if not self.host.lends or isinstance(self._idle, IdleOfHub):
            return None
        return self._take_idle(self._limits.health_check_interval)

    def may_keep(self, connection: Any, used: float) -> bool:
        """Return whether a loop that has last used its connection then may use it again."""
        connection.idle_since = used
        now = time.monotonic()
        if now >= connection.retire_at or now - used > self._limits.health_check_interval:
            return False
        return now - used <= FRESH_SECONDS or not redis_py.has_reply(connection, 0)

    def client_id(self, connection: Any, ask: Operation, fail_fast: bool = False) -> int:
        """Return the number that Redis knows ``connection`` by; ``ask`` asks for it."""
        client: int | None = getattr(connection, "client_number", None)
        if client is None:
            redis_py.write(connection, ask.packed)
            if fail_fast:
                self._await_reply(connection)
            client = connection.client_number = int(ask.read(self.read(connection, ask)))
        return client

    def learn_permissions(self, parts: Sequence[Operation]) -> None:
        """Ask the server, if need be, whether the ``parts`` of a wait are allowed."""
        self.permissions.learn(functools.partial(self.execute, fail_fast=True), parts)

    def after_error(self, connection: Any, error: BaseException) -> None:
        """Release or close the connection; have permissions asked for after a refusal."""
        if isinstance(error, NoPermissionError):
            self.permissions.forget()
        super().after_error(connection, error)

    def _reconnect(self, connection: Any) -> None:
        connection.client_number = None
        super()._reconnect(connection)


def _read_replies(connection: Any, data: bytes, number: int) -> list[Any]:
    """Return ``number`` replies, errors among them, which begin with ``data``."""
    reader, pieces, replies = ReplyReader(pushed=False), [data], []
    while True:
        if data.endswith(b"\n"):  # as the last reply does, and hardly any other part of a large one
            replies += reader.read(b"".join(pieces))
            if len(replies) >= number:
                return replies
            pieces = []
        data = redis_py.receive(connection)
        pieces.append(data)
