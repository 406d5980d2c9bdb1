"""Helpers for tests of the LMDB store: a directory in memory, stores in it, and other processes."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from asgi_redis.engine.stores.lmdb import records
from asgi_redis.engine.stores.lmdb.store import LMDBStore

ROOT = Path(__file__).parents[3]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def base():
    """A directory of the test's own, in memory, and with a name that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="t", dir=MEMORY))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def directory(base):
    return base / "=store"


class Clock:
    """Stands for ``time`` where the store reads its clock, which goes on only when a test says so."""

    def __init__(self):
        self.now = records.now()

    def clock_gettime(self, clock):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(records, "time", clock)
    return clock


@pytest.fixture
def store(directory):
    with contextlib.closing(LMDBStore(directory, 16 << 20)) as made:
        yield made


def push(store, *messages, queue="a", capacity=1000, expiry=60.0):
    """Puts the messages into a queue; returns which were put."""
    return store.push([(queue, queue, message, capacity) for message in messages], expiry)


def pop(store, *queues, limit=1000, expiry=60.0, limits=None):
    """Takes messages; returns them alone."""
    return [message for _, _, message in store.pop(queues or ("a",), limit, expiry, limits)]


def look(listener, *queues):
    """Lets a listener take messages, or wait; returns them alone."""
    return [message for _, _, message in listener.pop(queues or ("a",), 1000, 60)]


@contextlib.contextmanager
def waiting(store, *queues):
    """A listener that waits for messages in the queues."""
    with store.listen(queues or ("a",)) as listener:
        assert look(listener, *queues) == []
        yield listener


def readable(listener, timeout=0.0):
    return bool(select.select([listener.fileno()], [], [], timeout)[0])


def run(program, *arguments, wait=True):
    """Runs a Python program in another process: returns what it prints, or the process."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if not wait:
        return process
    try:
        output, _ = process.communicate(timeout=50)
    finally:
        process.kill()
    assert process.returncode == 0
    return output


@contextlib.contextmanager
def another_user_of(directory):
    """Runs a process that has the store open."""
    process = run(
        "import sys, pathlib\n"
        "from asgi_redis.engine.stores.lmdb.store import LMDBStore\n"
        "store = LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)\n"
        "print(store.contents(), flush=True)\n"
        "sys.stdin.read()",
        directory,
        wait=False,
    )
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()
