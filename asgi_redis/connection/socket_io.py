"""
Bytes to and from a socket, in one call in C, which no interruption can divide.

The ``send`` and ``recv`` of a socket that has a timeout poll it first. Where it is ready anyway, writing to its
descriptor and reading from it saves that system call. It takes the descriptor in the same call in C: a signal handler
that forks in between would have it stand for another connection.
"""

from __future__ import annotations

import _socket  # which gevent leaves as it is
import os
from typing import Any

_fileno = _socket.socket.fileno
_send, _recv = _socket.socket.send, _socket.socket.recv


def send(sock: Any, data: bytes | memoryview, written: list[int]) -> None:
    """Send some bytes, and append their number to ``written``. Raises ``OSError``."""
    if type(sock).send is _send:  # neither TLS nor gevent's
        try:
            written.extend(map(os.write, map(_fileno, (sock,)), (data,)))
            return
        except BlockingIOError:
            pass  # the buffer of the socket is full
    written.extend(map(sock.send, (data,)))


def receive(sock: Any, size: int, chunks: list[bytes], is_readable: bool = False) -> None:
    """
    Receive up to ``size`` bytes, and append them to ``chunks``. Raises ``OSError``.

    ``is_readable``: a poll has just said so.
    """
    if is_readable and type(sock).recv is _recv:
        try:
            chunks.extend(map(os.read, map(_fileno, (sock,)), (size,)))
            return
        except BlockingIOError:
            pass  # it was an error of the network, which is gone
    chunks.extend(map(sock.recv, (size,)))


def receive_at_once(sock: Any, size: int, chunks: list[bytes]) -> bool:
    """
    Receive bytes that are there already; return whether there were any.

    It never waits. With TLS, under gevent, and on a socket without a timeout it leaves the bytes where they are.
    """
    if type(sock).recv is not _recv or sock.gettimeout() is None:
        return False
    try:
        chunks.extend(map(os.read, map(_fileno, (sock,)), (size,)))
    except OSError:
        return False  # BlockingIOError nearly always; the next receive meets any other error again
    return True


def receive_tls(sock: Any, size: int) -> bytes:
    """Return the bytes that are there. Raises ``ssl.SSLWantReadError`` for none."""
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        data = bytes(sock.recv(size))
        while sock.pending():  # in here, where no poll sees it
            data += sock.recv(size)
        return data
    finally:
        sock.settimeout(timeout)
