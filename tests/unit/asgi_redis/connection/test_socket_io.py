"""Bytes to and from a socket past Python's own poll."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from asgi_redis.connection import socket_io

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0.2)
        yield one, other


def test_what_is_sent_arrives_and_is_counted(pair: Pair) -> None:
    one, other = pair
    written: list[int] = []
    socket_io.send(one, b"hello", written)
    socket_io.send(one, memoryview(b" world"), written)
    assert written == [5, 6]
    assert other.recv(100) == b"hello world"


def test_a_full_buffer_is_waited_for_as_long_as_the_timeout_of_the_socket(pair: Pair) -> None:
    one, _ = pair
    written: list[int] = []
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            one.send(b"x" * 100_000)
    one.settimeout(0.2)
    with pytest.raises(socket.timeout):
        socket_io.send(one, b"x", written)
    assert written == []


def test_bytes_that_a_poll_has_seen_are_read(pair: Pair) -> None:
    one, other = pair
    other.sendall(b"hello")
    chunks: list[bytes] = []
    socket_io.receive(one, 100, chunks, is_readable=True)
    assert chunks == [b"hello"]


@pytest.mark.parametrize("is_readable", [False, True])
def test_bytes_that_are_not_there_are_waited_for(pair: Pair, is_readable: bool) -> None:
    """Also where a poll has seen an error of the network that has gone meanwhile."""
    with pytest.raises(socket.timeout):
        socket_io.receive(pair[0], 100, [], is_readable)


def test_the_end_of_the_stream_is_an_empty_chunk(pair: Pair) -> None:
    one, other = pair
    other.close()
    chunks: list[bytes] = []
    socket_io.receive(one, 100, chunks, is_readable=True)
    assert chunks == [b""]


def test_a_socket_that_was_closed_stands_for_no_other_descriptor(pair: Pair) -> None:
    one, _ = pair
    one.close()
    written: list[int] = []
    with pytest.raises(OSError, match="Bad file descriptor"):
        socket_io.send(one, b"hello", written)
    with pytest.raises(OSError, match="Bad file descriptor"):
        socket_io.receive(one, 100, [], is_readable=True)
    assert written == []


@pytest.mark.native("sockets of gevent never block")
def test_bytes_are_taken_at_once_only_where_that_cannot_wait(pair: Pair) -> None:
    one, other = pair
    chunks: list[bytes] = []
    assert not socket_io.receive_at_once(one, 100, chunks)
    other.sendall(b"hello")
    one.settimeout(None)
    assert not socket_io.receive_at_once(one, 100, chunks)
    one.settimeout(0.2)
    assert socket_io.receive_at_once(one, 100, chunks)
    assert chunks == [b"hello"]
