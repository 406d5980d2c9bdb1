"""
How a receiver that waits is woken: by a datagram to a socket of its own in the store's directory.

Sockets in the directory rather than in Linux's abstract namespace: they are private as the directory is, they are
found from another network namespace, and other systems have them, too.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from pathlib import Path

from asgi_redis.engine.stores.lmdb.records import MAILBOX
from asgi_redis.process.patches import original

_FULL = (errno.EAGAIN, errno.ENOBUFS)
_GONE = (errno.ECONNREFUSED, errno.ENOENT)
_AT_ONCE = 64  # bytes, one for each datagram: there is one, and those of ``wake``
_numbers = itertools.count()


class Mailbox:
    """A socket that can be polled: readable once its receiver was woken."""

    def __init__(self, directory: Path) -> None:
        self.pid = os.getpid()
        number = next(_numbers)
        self.id = MAILBOX.pack(self.pid, number)
        self._path = path_of(directory, self.id)
        Path(self._path).unlink(missing_ok=True)  # of a process that had the same number and was killed
        self.socket = _socket()
        self.socket.bind(self._path)
        # It rings also when the file is gone.
        self._bell = _socket()
        self._bell.connect(self._path)

    def drain(self) -> None:
        """Makes it unreadable."""
        try:
            while True:
                self.socket.recv(_AT_ONCE)
        except BlockingIOError:
            return  # read them all

    def ring(self) -> None:
        """Makes it readable. Takes no lock."""
        try:
            self._bell.send(b"")
        except OSError as error:
            # Full: it is readable. Closed, here or at the other end: nobody waits.
            if error.errno not in (*_FULL, errno.ECONNREFUSED, errno.EBADF):
                raise

    def close(self) -> None:
        """Closes it, and removes the file unless that is the parent process's."""
        self.socket.close()
        self._bell.close()
        if self.pid == os.getpid():
            Path(self._path).unlink(missing_ok=True)


class Mailboxes:
    """The mailboxes that this process has in a directory, and what sends to those of others."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = _socket()
        self._idle: list[Mailbox] = []
        self._in_use: set[Mailbox] = set()
        self._closed = False

    def take(self) -> Mailbox:
        """Returns a mailbox that nobody else waits at, until it is given back."""
        try:
            mailbox = self._idle.pop()
        except IndexError:
            mailbox = Mailbox(self._directory)
        self._in_use.add(mailbox)
        return mailbox

    def give_back(self, mailbox: Mailbox) -> None:
        """Keeps it for the next who takes one."""
        self._in_use.discard(mailbox)
        if self._closed:
            mailbox.close()
        else:
            self._idle.append(mailbox)

    def ring(self, mailbox: bytes) -> bool:
        """Makes a mailbox of any process readable; returns whether it is there."""
        path = path_of(self._directory, mailbox)
        for full in (False, True):
            try:
                self._socket.sendto(b"", path)
            except OSError as error:
                if error.errno in _GONE:
                    return False
                if error.errno not in _FULL:
                    raise
                if not full:
                    # What others have not read counts against the socket that has sent it.
                    self._socket.close()
                    self._socket = _socket()
            else:
                break
        return True  # if it is full itself, it is readable

    def close(self) -> None:
        """Closes those that nobody waits at, and the others when they are given back."""
        self._closed = True
        self._socket.close()
        while self._idle:
            self._idle.pop().close()

    def close_inherited(self) -> None:
        """Closes all, in a child process that has inherited them."""
        self.close()
        for mailbox in self._in_use:
            mailbox.close()


def ring_all(directory: Path) -> None:
    """Wakes everybody who waits at a mailbox in ``directory``."""
    with _socket() as ringing:
        for path in directory.glob("*-*"):
            try:
                ringing.sendto(b"", str(path))
            except OSError as error:
                if error.errno not in (*_FULL, *_GONE):
                    raise


def sweep(directory: Path) -> None:
    """Removes the sockets of processes that were killed."""
    for path in directory.glob("*-*"):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and not runs(int(pid)):
            path.unlink(missing_ok=True)


def path_of(directory: Path, mailbox: bytes) -> str:
    """Returns where the socket of a mailbox is."""
    return f"{directory}/{'{}-{}'.format(*MAILBOX.unpack(mailbox))}"


def runs(pid: int) -> bool:
    """Returns whether there is a process of this user with that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # or it is another user's
        return False
    return True


def _socket() -> socket.socket:
    # gevent's belong to a hub, and to a native thread with that.
    made: socket.socket = original("socket", "socket")(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
