"""
Datagram sockets that wake waiting receivers.

Each receiver has one in the directory of the store. Sockets in the directory rather than in Linux's abstract
namespace: they are private as the directory is, they are found from another network namespace, and other systems have
them, too.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import socket
from pathlib import Path

from asgi_redis.engine.stores.lmdb.records import ADDRESS
from asgi_redis.process.patches import original

logger = logging.getLogger("asgi_redis")

_FULL = (errno.EAGAIN, errno.ENOBUFS)
_GONE = (errno.ECONNREFUSED, errno.ENOENT)
_numbers = itertools.count()


class WakeupSocket:
    """A socket that can be polled: readable once its receiver was woken."""

    def __init__(self, directory: Path) -> None:
        self._pid = os.getpid()
        self.address = ADDRESS.pack(self._pid, next(_numbers))
        self._path = _path_of(directory, self.address)
        Path(self._path).unlink(missing_ok=True)  # of a process that had the same number and was killed
        self.socket = _socket()
        self.socket.bind(self._path)
        # Connected, so that it works also when the file is gone.
        self._sender = _socket()
        self._sender.connect(self._path)
        self._has_more = False

    def clear(self) -> None:
        """Make it unreadable: senders wake it once, ``wake`` may do so more often."""
        try:
            self.socket.recv(1)
            while self._has_more:
                self.socket.recv(1)
        except BlockingIOError:
            self._has_more = False

    def wake(self) -> None:
        """Make it readable. Takes no lock."""
        self._has_more = True
        try:
            self._sender.send(b"")
        except OSError as error:
            # Full: it is readable. Closed, here or at the other end: no receiver waits.
            if error.errno not in (*_FULL, errno.ECONNREFUSED, errno.EBADF):
                raise

    def close(self) -> None:
        """Close it, and remove the file unless it is the parent process's."""
        self.socket.close()
        self._sender.close()
        if self._pid == os.getpid():
            Path(self._path).unlink(missing_ok=True)


class WakeupSockets:
    """The wakeup sockets of this process, and the sender to those of all processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sender = _socket()
        self._idle: list[WakeupSocket] = []
        self._in_use: set[WakeupSocket] = set()
        self._closed = False
        self.chosen: list[bytes] = []
        """The addresses to wake once the transaction is committed. One too many does no harm."""
        self.gone: list[bytes] = []
        """The addresses whose sockets turned out to be gone."""

    def acquire(self) -> WakeupSocket:
        """Return a socket for one receiver, until it is released."""
        try:
            wakeup = self._idle.pop()
        except IndexError:
            wakeup = WakeupSocket(self._directory)
        self._in_use.add(wakeup)
        return wakeup

    def release(self, wakeup: WakeupSocket) -> None:
        """Keep a socket for the next receiver."""
        self._in_use.discard(wakeup)
        if self._closed:
            wakeup.close()
        else:
            self._idle.append(wakeup)

    def wake_chosen(self) -> None:
        """Make the ``chosen`` sockets readable. Raises nothing: messages were sent."""
        while self.chosen:  # what an interruption leaves there is for the next transaction
            address = self.chosen.pop(0)
            try:
                if not self.wake(address):
                    self.gone.append(address)
            except OSError as error:
                logger.warning("the IPC store in %s wakes no receiver, which looks later: %s", self._directory, error)

    def wake(self, address: bytes) -> bool:
        """Make a socket of any process readable; return whether it exists."""
        path = _path_of(self._directory, address)
        for full in (False, True):
            try:
                self._sender.sendto(b"", path)
            except OSError as error:
                if error.errno in _GONE:
                    return False
                if error.errno not in _FULL:
                    raise
                if not full:
                    # Datagrams that other receivers have not read count against the socket that has sent them.
                    full_sender, self._sender = self._sender, _socket()
                    full_sender.close()
            else:
                break
        return True  # if it is full itself, it is readable

    def close(self) -> None:
        """Close idle sockets now, and those in use when they are released."""
        self._closed = True
        self._sender.close()
        while self._idle:
            self._idle.pop().close()

    def close_inherited(self) -> None:
        """Close all, in a child process that has inherited them."""
        self.chosen.clear()  # the parent wakes them
        self.close()
        for wakeup in self._in_use:
            wakeup.close()


def wake_all(directory: Path) -> None:
    """Wake all receivers that wait in ``directory``."""
    with _socket() as sender:
        for path in directory.glob("*-*"):
            try:
                sender.sendto(b"", str(path))
            except OSError as error:
                if error.errno not in (*_FULL, *_GONE):
                    raise


def sweep(directory: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for path in directory.glob("*-*"):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and not runs(int(pid)):
            path.unlink(missing_ok=True)


def runs(pid: int) -> bool:
    """Return whether this user has a process with that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # or it is another user's
        return False
    return True


def _path_of(directory: Path, address: bytes) -> str:
    return f"{directory}/{'{}-{}'.format(*ADDRESS.unpack(address))}"


def _socket() -> socket.socket:
    # gevent's belong to a hub, and to a native thread with that.
    made: socket.socket = original("socket", "socket")(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
