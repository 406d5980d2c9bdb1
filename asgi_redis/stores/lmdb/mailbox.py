"""
How a receiver that waits is woken: by a datagram to a socket of its own in the store's directory.

A mailbox is registered with the queues that its receiver waits for. Whoever puts a message into one of them sends
the queue's name to all of its mailboxes and takes them off the queue, *within* the transaction: killed before the
commit, it has woken somebody for nothing, who is still registered; after it, everybody who waits has been woken. All
are, not one, so that a receiver that is killed before it takes the message leaves nobody asleep.

A receiver looks for messages under the writer's lock, so it sees what it was woken for, even when it is faster than
the commit. A registration may be out of date, when its receiver no longer waits: that costs one datagram. One that is
gone for good is found by the error of sending to it.

Sockets in the directory rather than in Linux's abstract namespace: they are private as the directory is, they are
found from another network namespace, and other systems have them, too.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from pathlib import Path

from asgi_redis.stores.lmdb.records import MAILBOX

_NOT_DELIVERED = (errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.ENOENT)
_DATAGRAM = 256  # a queue's name has fewer than 100 bytes
_numbers = itertools.count()


class Mailbox:
    """A socket that can be polled: readable once a queue that it is registered with may have got something."""

    def __init__(self, directory: Path) -> None:
        self.pid = os.getpid()
        number = next(_numbers)
        self.id = MAILBOX.pack(self.pid, number)
        self.registered: set[str] = set()
        self._path = path_of(directory, self.id)
        Path(self._path).unlink(missing_ok=True)  # of a process that had the same number and was killed
        self.socket = _socket()
        self.socket.bind(self._path)
        # It rings also when the file is gone.
        self._bell = _socket()
        self._bell.connect(self._path)

    def drain(self) -> None:
        """Takes note of the queues that it is no longer registered with."""
        try:
            while True:
                self.registered.discard(self.socket.recv(_DATAGRAM).decode())
        except BlockingIOError:
            return  # read them all

    def ring(self) -> None:
        """Makes it readable. Takes no lock."""
        try:
            self._bell.send(b"")
        except OSError as error:
            # Full: it is readable. Closed, here or at the other end: nobody waits.
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.EBADF):
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
        """Keeps it, with what it is registered with, for the next who takes one."""
        self._in_use.discard(mailbox)
        if self._closed:
            mailbox.close()
        else:
            self._idle.append(mailbox)

    def wake(self, queue: str, mailboxes: bytes) -> bytes:
        """Wakes all of ``mailboxes`` for ``queue``; returns those that stay registered with it."""
        staying = []
        for mailbox in split(mailboxes):
            try:
                self._socket.sendto(queue.encode(), path_of(self._directory, mailbox))
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                    # It has so many datagrams to read that it is awake; or a child has inherited the socket of a
                    # process that is gone.
                    staying.append(mailbox)
                elif error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                    raise
        return alive(b"".join(staying))

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


def split(mailboxes: bytes) -> list[bytes]:
    """Returns the mailboxes that a state holds."""
    return [mailboxes[start : start + MAILBOX.size] for start in range(0, len(mailboxes), MAILBOX.size)]


def alive(mailboxes: bytes) -> bytes:
    """Returns those of ``mailboxes`` whose process there is."""
    return b"".join(mailbox for mailbox in split(mailboxes) if _runs(MAILBOX.unpack(mailbox)[0]))


def ring_all(directory: Path) -> None:
    """Wakes everybody who waits at a mailbox in ``directory``."""
    with _socket() as ringing:
        for path in directory.glob("*-*"):
            try:
                ringing.sendto(b"", str(path))
            except OSError as error:
                if error.errno not in _NOT_DELIVERED:
                    raise


def sweep(directory: Path) -> None:
    """Removes the sockets of processes that were killed."""
    for path in directory.glob("*-*"):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and not _runs(int(pid)):
            path.unlink(missing_ok=True)


def path_of(directory: Path, mailbox: bytes) -> str:
    """Returns where the socket of a mailbox is."""
    return f"{directory}/{'{}-{}'.format(*MAILBOX.unpack(mailbox))}"


def add(mailboxes: bytes, mailbox: bytes) -> bytes:
    """Returns ``mailboxes`` with ``mailbox`` among them."""
    return mailboxes if mailbox in split(mailboxes) else mailboxes + mailbox


def without(mailboxes: bytes, mailbox: bytes) -> bytes:
    """Returns ``mailboxes`` without ``mailbox``."""
    return b"".join(other for other in split(mailboxes) if other != mailbox)


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # or it is another user's
        return False
    return True
