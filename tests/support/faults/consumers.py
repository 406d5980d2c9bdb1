"""Consumers that raise whatever there is to raise."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from tests.support.workers.consumers import work
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


routing = [route("fail", fail), route("work", work)]
