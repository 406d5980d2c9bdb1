"""
The contract with redis-py: each private part, flag and text that ``connection/redis_py.py`` relies on.

A failure here says what a new version of redis-py has changed. The rest of the suite shows what that breaks.
"""

from __future__ import annotations

import inspect
import os
import re
import select
import socket
import ssl
from pathlib import Path

import pytest
import redis
from redis import exceptions
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

import asgi_redis
from asgi_redis.connection import redis_py
from asgi_redis.wire.operation import command

CLASSES = [Connection, SSLConnection, UnixDomainSocketConnection]
CHANGED = f"redis-py {redis.__version__} has changed: "


@pytest.fixture
def connection(redis_server):
    made = Connection(port=redis_server.port, protocol=2)
    redis_py.connect(made)
    yield made
    made.disconnect()


def parameters(function):
    return set(inspect.signature(function).parameters)


@pytest.mark.parametrize("kind", CLASSES)
class TestPrivateParts:
    def test_the_socket_is_in_an_attribute_and_none_before_connecting(self, kind):
        assert getattr(kind(), "_sock", "missing") is None, CHANGED + "connection._sock"

    def test_the_parser_is_in_an_attribute(self, kind):
        assert hasattr(kind(), "_parser"), CHANGED + "connection._parser"

    def test_timeouts_and_the_connect_function_can_be_set(self, kind):
        made = kind(socket_timeout=7)
        assert made.socket_timeout == 7, CHANGED + "connection.socket_timeout"
        assert getattr(made, "redis_connect_func", "missing") is None, CHANGED + "connection.redis_connect_func"
        assert callable(kind.on_connect), CHANGED + "connection.on_connect"

    def test_calls_have_the_parameters(self, kind):
        assert {"disable_decoding", "disconnect_on_error", "push_request"} <= parameters(kind.read_response), (
            CHANGED + "the parameters of connection.read_response"
        )
        assert "timeout" in parameters(kind.can_read), CHANGED + "the parameters of connection.can_read"


def test_a_connected_socket_has_the_calls_of_a_socket(connection):
    for name in ("send", "recv", "fileno", "settimeout"):
        assert callable(getattr(connection._sock, name, None)), CHANGED + f"connection._sock.{name}"
    assert redis_py.is_connected(connection)
    assert redis_py.descriptor(connection) == connection._sock.fileno()


def test_a_connect_function_is_called_with_the_connection_once_the_socket_is_there(redis_server):
    seen = []

    def connected(connection):
        seen.append((connection, connection._sock is not None))
        connection.on_connect()

    made = Connection(port=redis_server.port, protocol=2, redis_connect_func=connected)
    redis_py.connect(made)
    assert seen == [(made, True)], CHANGED + "the call of redis_connect_func"
    assert made.redis_connect_func is connected
    made.disconnect()


def test_connecting_bounds_the_handshake_by_the_connect_timeout_and_replies_by_the_socket_timeout(redis_server):
    made = Connection(port=redis_server.port, protocol=2, socket_connect_timeout=3, socket_timeout=8)
    seen = []
    made.redis_connect_func = lambda one: (seen.append(one._sock.gettimeout()), one.on_connect())
    redis_py.connect(made)
    assert (seen, made._sock.gettimeout(), made.socket_timeout) == ([8], 8, 8)
    made.disconnect()


def test_a_reply_written_past_redis_py_is_read_by_it_as_bytes(connection):
    redis_py.write(connection, command(b"ECHO", b"hello"))
    assert redis_py.has_reply(connection, 5)
    assert redis_py.read(connection) == b"hello", CHANGED + "what read_response returns"


def test_an_error_reply_leaves_the_connection_open(connection):
    redis_py.write(connection, command(b"NOSUCH"))
    with pytest.raises(exceptions.ResponseError) as raised:
        redis_py.read(connection)
    assert redis_py.is_connected(connection), CHANGED + "disconnect_on_error"
    assert redis_py.lacks_command(raised.value), CHANGED + f"the text of an unknown command: {raised.value}"


def test_what_is_there_is_read_without_blocking(connection):
    redis_py.limit_writes(connection, 60)
    assert redis_py.read_available(connection) == b"", CHANGED + "connection._sock"
    redis_py.write(connection, command(b"ECHO", b"hello"))
    assert select.select([redis_py.descriptor(connection)], [], [], 5)[0]
    assert redis_py.read_available(connection) == b"$5\r\nhello\r\n"
    connection._sock.shutdown(socket.SHUT_RD)
    with pytest.raises(exceptions.ConnectionError):
        redis_py.read_available(connection)


def test_a_connection_left_to_the_parent_stays_open_there_and_is_refused_here(connection):
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover
        try:
            redis_py.leave_to_parent(connection)
            try:
                connection.connect()
            except exceptions.ConnectionError:
                os.write(write_end, b"refused")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    assert os.read(read_end, 100) == b"refused", CHANGED + "connection.connect can no longer be replaced"
    os.close(read_end)
    redis_py.write(connection, command(b"ECHO", b"still open"))
    assert redis_py.read(connection) == b"still open", CHANGED + "disconnect closes the parent's socket, too"


class TestTexts:
    """redis-py cuts the code of some errors off their texts, and keeps that of others."""

    @pytest.mark.parametrize(
        ("text", "check"),
        [
            ("WRONGTYPE Operation against a key holding the wrong kind of value", redis_py.is_wrong_type),
            ("UNBLOCKED client unblocked via CLIENT UNBLOCK", redis_py.is_unblocked),
            ("ERR unknown command 'BZPOPMIN', with args beginning with: ", redis_py.lacks_command),
            ("ERR Protocol error: invalid bulk length", redis_py.closes_connection),
            ("NOAUTH Authentication required.", redis_py.refuses_user),
            ("NOAUTH Authentication required.", redis_py.wants_password),
            ("WRONGPASS invalid username-password pair or user is disabled.", redis_py.refuses_user),
            ("NOPERM this user has no permissions", lambda error: isinstance(error, exceptions.NoPermissionError)),
            ("NOSCRIPT No matching script.", lambda error: isinstance(error, exceptions.NoScriptError)),
            ("MOVED 3999 127.0.0.1:6381", redis_py.is_cluster_error),
            ("CROSSSLOT Keys in request don't hash to the same slot", redis_py.is_cluster_error),
            ("ERR Script attempted to access a non local key in a cluster node", redis_py.is_cluster_error),
        ],
    )
    def test_an_error_is_known_by_its_text(self, text, check):
        assert check(redis_py.parse_error(text)), CHANGED + f"how it parses {text!r}"

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("UNBLOCKED force unblock from blocking operation, instance state changed", exceptions.ReadOnlyError),
            ("ERR Error running script: @user_script: 7: -READONLY You can't write.", exceptions.ReadOnlyError),
            ("MASTERDOWN Link with MASTER is down.", exceptions.MasterDownError),
            ("READONLY You can't write against a read only replica.", exceptions.ReadOnlyError),
        ],
    )
    def test_the_errors_of_a_replica_are_redis_pys_own(self, text, kind):
        error = redis_py.parse_error(text)
        assert isinstance(redis_py.replica_error(error) or error, kind), CHANGED + f"how it parses {text!r}"

    def test_an_unknown_option_is_named_at_the_end(self):
        with pytest.raises(TypeError) as raised:
            Connection(no_such_option=1)
        text = redis_py.describe_option_error(raised.value)
        assert text.startswith("got an unexpected keyword argument"), CHANGED + f"the text of an option: {text}"

    def test_a_handshake_with_a_server_without_tls_is_known_by_its_cause(self, redis_server):
        made = SSLConnection(port=redis_server.port, socket_connect_timeout=1, ssl_cert_reqs="none")
        with pytest.raises((exceptions.ConnectionError, exceptions.TimeoutError, ssl.SSLError)) as raised:
            redis_py.connect(made)
        assert redis_py.is_failed_handshake(made, raised.value), CHANGED + f"the error: {raised.value!r}"


def test_no_other_file_touches_what_redis_py_keeps_private():
    private = re.compile(
        r"\._sock\b|\._parser\b|\.can_read\(|\.read_response\(|send_packed_command|redis_connect_func"
    )
    packages = Path(asgi_redis.__file__).parent.parent
    files = [path for name in ("asgi_redis", "workers") for path in (packages / name).rglob("*.py")]
    touching = {path.name for path in files if private.search(path.read_text())}
    assert touching == {"redis_py.py"}
