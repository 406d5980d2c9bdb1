"""
One Redis server as a blocking caller sees it: operations in, results out.

A connection serves one call at a time, and is kept for the next call of whichever thread. Nothing is ever sent
twice: an error in the middle of a call costs the connection, and the caller gets the error. Connecting, and finding
out that an idle connection has died, come before the first byte of a request.
"""

from __future__ import annotations

import builtins
import functools
import re
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from redis.exceptions import (
    ConnectionError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from asgi_redis import process
from asgi_redis.connection.host import Host
from asgi_redis.connection.idle import idle_connections
from asgi_redis.connection.late import PROMPT, LateCalls, within
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire.operation import Operation, command
from asgi_redis.wire.operations import scan, unlink

_FRESH = 0.05  # seconds that an idle connection counts as alive without a look
_LATE_LOOK = 60.0  # seconds of a wait for a late reply, which begins again
_RESCUE = 1.0  # seconds that a reply may take whose caller was interrupted
_LOST = (ConnectionError, ReadOnlyError, MasterDownError)
# Scripts pass them on in a text of their own before Redis 7; redis-py before 5.1 does not know all of them.
# UNBLOCKED ends a blocking pop on a master that becomes a replica.
_REPLICAS = {"READONLY": ReadOnlyError, "MASTERDOWN": MasterDownError, "UNBLOCKED": ReadOnlyError}
_FROM_REPLICA = re.compile(r"(?:^|-)(READONLY|MASTERDOWN|UNBLOCKED(?= force)) ")


class Shard:
    """The connections to one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._idle = idle_connections()
        self._client_ids: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._late_calls = LateCalls(f"late reply of {host}")
        self._connections: WeakSet[Any] = WeakSet()
        process.register(self)

    def execute(
        self,
        operation: Operation,
        rescue: Callable[[Any], object] | None = None,
        late: Callable[[Any], object] | None = None,
        prompt: bool = False,
    ) -> Any:
        """
        Sends one operation and returns what its replies mean.

        An interruption that is no ``Exception``, such as KeyboardInterrupt or gevent.Timeout, may come between
        request and reply: ``rescue`` gets what would have been returned, before the interruption is raised.

        With ``prompt``, or ``late``, the reply is waited for no longer than ``PROMPT`` seconds, then a
        ``TimeoutError`` is raised. What would have been returned is given to ``late``, in another thread, should it
        still come.

        Raises ``redis.exceptions.RedisError``. After a ``ConnectionError`` or a ``TimeoutError`` Redis may or may not
        have carried it out.
        """
        prompt = prompt or late is not None
        return self.execute_on(self.checkout(prompt), operation, rescue, late, prompt)

    def execute_on(
        self,
        connection: Any,
        operation: Operation,
        rescue: Callable[[Any], object] | None = None,
        late: Callable[[Any], object] | None = None,
        prompt: bool = False,
    ) -> Any:
        """Does what ``execute`` does, on a connection that was checked out, and gives it back."""
        try:
            connection.send_packed_command((operation.packed,))
            in_time = not prompt or connection.can_read(PROMPT)
            reply = self.read(connection, operation) if in_time else None
        except BaseException as error:
            if rescue is None or isinstance(error, Exception):
                self.after_error(connection, error)
            else:
                self._rescue(connection, operation, rescue)
            raise
        if not in_time:
            if late is None:
                connection.disconnect()
            else:
                self.read_late(connection, lambda: operation.read(self.read(connection, operation)), late)
            raise TimeoutError(f"{self.host} has not answered within {PROMPT:g} s")
        self.give_back(connection)
        return operation.read(reply)

    def read_late(self, connection: Any, read: Callable[[], Any], late: Callable[[Any], object]) -> None:
        """Leaves a connection to a thread that waits for a reply and gives what ``read`` then returns to ``late``."""
        self._late_calls.make(functools.partial(self._read_late, connection, read, late))

    def settle(self, deadline: float) -> bool:
        """Waits for replies that are late; returns whether there are none by ``deadline`` (``time.monotonic``)."""
        return self._late_calls.settle(deadline)

    def _read_late(self, connection: Any, read: Callable[[], Any], late: Callable[[Any], object]) -> None:
        try:
            while not connection.can_read(_LATE_LOOK):
                pass
            result = read()
        except Exception as error:  # noqa: BLE001  whoever has asked was given an error
            self.after_error(connection, error)
        else:
            self.give_back(connection)
            late(result)

    def _rescue(self, connection: Any, operation: Operation, rescue: Callable[[Any], object]) -> None:
        try:
            reply = read_replies(connection, operation) if connection.can_read(_RESCUE) else None
        except BaseException:  # noqa: BLE001  the first interruption is the one to be raised
            reply = None
        if reply is None:
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
                connection.send_packed_command((operation.with_text(),))
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

    def checkout(self, prompt: bool = False) -> Any:
        """
        Returns a connection that is alive, as far as can be known before something is sent.

        With ``prompt`` it waits no longer than ``PROMPT`` seconds for a new one.
        """
        process.check()
        connect = self._connect_promptly if prompt else self.connect
        try:
            connection, used = self._idle.pop()
        except IndexError:
            return connect()
        if not self.host.is_current(connection):
            # A master that is none any more; it may not know yet, and take what nobody will read.
            self._idle.append((connection, used))
            self.drop_idle()
            return connect()
        if time.monotonic() - used > _FRESH and _is_dead(connection):
            self.drop_idle()
            return connect()
        return connection

    def connect(self) -> Any:
        """Returns a new connection. Raises ``redis.exceptions.ConnectionError``."""
        connection = self.host.connect()
        self._connections.add(connection)
        return connection

    def _connect_promptly(self) -> Any:
        # redis-py bounds the steps of it one by one, and the last of them by the socket timeout.
        try:
            return within(PROMPT, self.connect, f"connecting to {self.host}")
        except builtins.TimeoutError as error:
            raise ConnectionError(str(error)) from None

    def checkout_warm(self) -> Any | None:
        """Returns a connection that was in use a moment ago, or None. Never waits, unlike ``checkout``."""
        process.check()
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

    def client_id(self, connection: Any, ask: Operation, prompt: bool = False) -> int:
        """Returns the number that Redis knows ``connection`` by; asks with ``ask`` the first time."""
        client = self._client_ids.get(connection)
        if client is None:
            connection.send_packed_command((ask.packed,))
            if prompt and not connection.can_read(PROMPT):
                raise TimeoutError(f"{self.host} has not answered within {PROMPT:g} s")
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

    def start_process(self) -> None:
        """Leaves all connections to the process that this one was forked from."""
        # Also those in use: a call that a signal handler has forked from goes on in this process, too.
        for connection in self._connections:
            connection.disconnect()  # redis-py leaves it open for the other
            connection.connect = _refuse
        self._connections = WeakSet()
        self._idle = idle_connections()


def delete_matching(shard: Shard, pattern: bytes, is_own: Callable[[bytes], bool]) -> None:
    """
    Deletes the keys that match a glob and are ``is_own``.

    Some at a time, so that other clients are served in between.
    """
    cursor = b"0"
    while True:
        cursor, found = shard.execute(scan(cursor, pattern))
        keys = list(filter(is_own, found))
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


def _refuse(*_: object, **__: object) -> None:
    """Replaces what redis-py connects anew with, where a call must not go on."""
    raise ConnectionError("the call was begun by the process that this one was forked from, which goes on with it")


def _is_dead(connection: Any) -> bool:
    """An idle connection has nothing to read: what can be read is its end, or something out of step."""
    try:
        return bool(connection.can_read(0))
    except (ConnectionError, OSError):
        return True
