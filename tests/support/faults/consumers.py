"""Consumers that raise whatever there is to raise, and one that has an exception raised in other slots."""

from __future__ import annotations

import ctypes
import gc
import json
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from tests.support.workers.consumers import note, work
from workers import route
from workers.message import Message

# Deeper than any limit on recursion, also that of Python 3.12 and later on recursion in C.
DEPTH = 100_000


class OwnError(BaseException):
    """Not an Exception."""


class UnspeakableError(Exception):
    """One that cannot be shown."""

    def __str__(self) -> NoReturn:
        raise SystemExit("no text")

    __repr__ = __str__


def nested() -> list[Any]:
    """Returns a list in a list in a list ..."""
    outermost: list[Any] = []
    for _ in range(DEPTH):
        outermost = [outermost]
    return outermost


def endlessly() -> None:
    endlessly()


def too_much() -> bytearray:
    return bytearray(sys.maxsize - 64)


def throw(error: BaseException) -> NoReturn:
    raise error


def greenlet_exit() -> NoReturn:
    from gevent import GreenletExit

    raise GreenletExit("out")


RAISE: dict[str, Callable[[], Any]] = {
    "SystemExit": lambda: sys.exit("out"),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt("out")),
    "GeneratorExit": lambda: throw(GeneratorExit("out")),
    "OwnError": lambda: throw(OwnError("out")),
    "UnspeakableError": lambda: throw(UnspeakableError("out")),
    "MemoryError": too_much,
    "recursion": endlessly,
    "recursion in json": lambda: json.dumps(nested()),
    "recursion in pickle": lambda: pickle.dumps(nested()),
    "recursion in repr": lambda: repr(nested()),
    "GreenletExit": greenlet_exit,
}


def fail(message: Message) -> None:
    RAISE[message["kind"]]()


def strike(message: Message) -> None:
    """Has SystemExit or GreenletExit raised in ``number`` other slots, as time limits of libraries do."""
    slots = [thread for thread in threading.enumerate() if thread.name.startswith("slot-")]
    slots.remove(threading.current_thread())
    idents = {thread.ident for thread in slots[: message["number"]]}
    if "gevent.monkey" in sys.modules:
        import gevent

        for one in gc.get_objects():
            if isinstance(one, gevent.Greenlet) and id(one) in idents:
                one.kill(block=False)
    else:
        for ident in idents:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident or 0), ctypes.py_object(SystemExit))
    note("struck", len(idents))


routing = [route("fail", fail), route("strike", strike), route("work", work)]
