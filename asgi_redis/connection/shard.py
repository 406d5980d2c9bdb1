"""
One Redis server as a blocking caller sees it: operations in, results out.

A connection serves one call at a time, and is kept for the next call of whichever thread. Nothing is ever sent
twice: an error in the middle of a call costs the connection, and the caller gets the error. Connecting, and finding
out that an idle connection has died, come before the first byte of a request.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from redis.exceptions import (
    ConnectionError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from asgi_redis.connection.host import Host
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire.operation import Operation, command
from asgi_redis.wire.operations import scan, unlink

_KEPT = 100  # idle connections; more are closed
_FRESH = 0.05  # seconds that an idle connection counts as alive without a look
_RESCUE = 1.0  # seconds that a reply may take whose caller was interrupted
_LOST = (ConnectionError, ReadOnlyError, MasterDownError)
# Scripts pass them on in a text of their own before Redis 7; redis-py before 5.1 does not know all of them.
# UNBLOCKED ends a blocking pop on a master that becomes a replica.
_REPLICAS = {"READONLY": ReadOnlyError, "MASTERDOWN": MasterDownError, "UNBLOCKED": ReadOnlyError}
_FROM_REPLICA = re.compile(r"(?:^|-)(READONLY|MASTERDOWN|UNBLOCKED) ")


class Shard:
    """The connections to one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._idle: deque[tuple[Any, float]] = deque(maxlen=_KEPT)
        self._client_ids: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def execute(self, operation: Operation, rescue: Callable[[Any], object] | None = None) -> Any:
        """
        Sends one operation and returns what its replies mean.

        An interruption that is no ``Exception``, such as KeyboardInterrupt or gevent.Timeout, may come between
        request and reply: ``rescue`` gets what would have been returned, before the interruption is raised.

        Raises ``redis.exceptions.RedisError``. After a ``ConnectionError`` or a ``TimeoutError`` Redis may or may not
        have carried it out.
        """
        return self.execute_on(self.checkout(), operation, rescue)

    def execute_on(self, connection: Any, operation: Operation, rescue: Callable[[Any], object] | None = None) -> Any:
        """Does what ``execute`` does, on a connection that was checked out, and gives it back."""
        try:
            connection.send_packed_command((operation.packed,))
            reply = self.read(connection, operation)
        except BaseException as error:
            if rescue is None or isinstance(error, Exception):
                self.after_error(connection, error)
            else:
                self._rescue(connection, operation, rescue)
            raise
        self.give_back(connection)
        return operation.read(reply)

    def _rescue(self, connection: Any, operation: Operation, rescue: Callable[[Any], object]) -> None:
        try:
            reply = read_replies(connection, operation) if connection.can_read(_RESCUE) else None
        except BaseException:  # noqa: BLE001  the first interruption is the one to be raised
            reply = None
        # Redis may have been loading the script, and have run nothing.
        if reply is None or (operation.script is not None and reply == operation.script.sha):
            connection.disconnect()
        else:
            self.give_back(connection)
            rescue(operation.read(reply))

    def read(self, connection: Any, operation: Operation) -> Any:
        """Returns the reply to an operation that was sent, or the list of its replies."""
        try:
            try:
                return read_replies(connection, operation)
            except NoScriptError:
                # Redis has run nothing: asking again cannot repeat anything.
                assert operation.script is not None
                connection.send_packed_command((command(b"SCRIPT", b"LOAD", operation.script.text),))
                connection.read_response(disable_decoding=True, disconnect_on_error=False)
                connection.send_packed_command((operation.packed,))
                return read_replies(connection, operation)
        except ResponseError as error:
            explained = self.explain(error)
            if explained is error:
                raise
            raise explained from error

    def explain(self, error: ResponseError) -> Exception:
        """Returns the error that a reply is to callers; mostly the same."""
        if "unknown" in str(error).lower() and "command" in str(error).lower():
            return self._unsupported(error)
        refusal = _FROM_REPLICA.search(str(error))
        return _REPLICAS[refusal.group(1)](str(error)) if refusal else error

    def _unsupported(self, error: ResponseError) -> UnsupportedRedis:
        info = self.execute(Operation(command(b"INFO", b"server"), bytes)).decode().splitlines()
        version = next((line.partition(":")[2] for line in info if line.startswith("redis_version:")), "?")
        return UnsupportedRedis(
            f"Redis {version} at {self.host} lacks a command; asgi_redis needs Redis 5.0 or newer, "
            f"with all of its commands: {error}"
        )

    def checkout(self) -> Any:
        """Returns a connection that is alive, as far as can be known before something is sent."""
        try:
            connection, used = self._idle.pop()
        except IndexError:
            return self.host.connect()
        if not self.host.is_current(connection):
            # A master that is none any more; it may not know yet, and take what nobody will read.
            self._idle.append((connection, used))
            self.drop_idle()
            return self.host.connect()
        if time.monotonic() - used > _FRESH and _is_dead(connection):
            self.drop_idle()
            return self.host.connect()
        return connection

    def checkout_warm(self) -> Any | None:
        """Returns a connection that was in use a moment ago, or None. Never waits, unlike ``checkout``."""
        if self.host.moves:
            return None
        try:
            connection, used = self._idle.pop()
        except IndexError:
            return None
        if time.monotonic() - used <= _FRESH:
            return connection
        self._idle.append((connection, used))
        return None

    def client_id(self, connection: Any, ask: Operation) -> int:
        """Returns the number that Redis knows ``connection`` by; asks with ``ask`` the first time."""
        client = self._client_ids.get(connection)
        if client is None:
            connection.send_packed_command((ask.packed,))
            client = self._client_ids[connection] = int(ask.read(self.read(connection, ask)))
        return client

    def give_back(self, connection: Any) -> None:
        """Keeps a connection, all of whose replies were read, for the next call."""
        self._idle.append((connection, time.monotonic()))

    def after_error(self, connection: Any, error: BaseException) -> None:
        """Keeps the connection after an error that was a reply; after any other its state is not known."""
        if isinstance(error, (ResponseError, UnsupportedRedis)) and not self.is_lost(error):
            self.give_back(connection)
            return
        connection.disconnect()
        if self.is_lost(error):
            self.host.lost()
            self.drop_idle()

    def is_lost(self, error: BaseException) -> bool:
        """Whether an error says that the server went away, or is the master no longer."""
        return isinstance(error, _LOST)

    def drop_idle(self) -> None:
        """Closes the connections that no call is using."""
        while self._idle:
            try:
                connection, _ = self._idle.pop()
            except IndexError:
                return  # another thread was faster
            connection.disconnect()

    def forget(self) -> None:
        """Leaves all connections to the process that this one was forked from."""
        self._idle = deque(maxlen=_KEPT)


def execute_all(requests: Sequence[tuple[Shard, Operation]]) -> list[Any]:
    """
    Sends operations to several shards at once, all before the first reply is read, and returns their results.

    A shard that fails does not keep the others from being served; its error is raised when all have answered.
    """
    if len(requests) == 1:
        return [shard.execute(operation) for shard, operation in requests]
    errors: list[BaseException] = []
    sent: list[tuple[Shard, Operation, Any]] = []
    results: list[Any] = []
    for shard, operation in requests:
        connection = None
        try:
            connection = shard.checkout()
            connection.send_packed_command((operation.packed,))
        except RedisError as error:
            if connection is not None:
                shard.after_error(connection, error)
            errors.append(error)
        else:
            sent.append((shard, operation, connection))
    for shard, operation, connection in sent:
        try:
            results.append(operation.read(shard.read(connection, operation)))
        except (RedisError, UnsupportedRedis) as error:
            shard.after_error(connection, error)
            errors.append(error)
        else:
            shard.give_back(connection)
    if errors:
        raise errors[0]
    return results


def delete_matching(shard: Shard, pattern: bytes) -> None:
    """Deletes the keys that match a glob, some at a time, so that other clients are served in between."""
    cursor = b"0"
    while True:
        cursor, keys = shard.execute(scan(cursor, pattern))
        if keys:
            shard.execute(unlink(keys))
        if cursor == b"0":
            return


def read_replies(connection: Any, operation: Operation) -> Any:
    """Reads all the replies of an operation, then raises the first that is an error. Never closes the connection."""
    if operation.replies == 1:
        return connection.read_response(disable_decoding=True, disconnect_on_error=False)
    replies: list[Any] = []
    refused: ResponseError | None = None
    for _ in range(operation.replies):
        try:
            replies.append(connection.read_response(disable_decoding=True, disconnect_on_error=False))
        except ResponseError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return replies


def _is_dead(connection: Any) -> bool:
    """An idle connection has nothing to read: what can be read is its end, or something out of step."""
    try:
        return bool(connection.can_read(0))
    except (ConnectionError, OSError):
        return True
