"""
A worker process that is one of several: what it tells the ``workers.command.supervisor`` that has started it.

There are two pairs of sockets. On one it tells twice a second how it does. On the other it is asked for its metrics;
the end of that one is the end of the supervisor, and then the worker stops, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Mapping
from typing import NamedTuple

from workers.command import patching
from workers.operations.liveness import State, state_of
from workers.operations.metrics import Report
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

VARIABLE = patching.PROCESS
REQUEST = struct.Struct("!I?")  # its number, and whether it is also for what is the same for all processes
REPLY = struct.Struct("!IQ")  # the number of the request, and how many bytes of text come


class Place(NamedTuple):
    """Which of the processes this is, and its descriptors."""

    number: int
    states: int
    requests: int

    def __str__(self) -> str:
        return ":".join(map(str, self))


def place_from(environment: Mapping[str, str]) -> Place | None:
    """Returns the place that a supervisor has given to this process, if one has."""
    value = environment.get(VARIABLE)
    return Place(*map(int, value.split(":"))) if value else None


class Supervised(LifecycleHook):
    """Keeps in touch with the supervisor; where there are to be ``metrics``, it is told of them when it asks."""

    def __init__(self, place: Place, metrics: bool) -> None:
        self._index = place.number
        self._metrics = metrics
        self._states = socket.socket(fileno=place.states)
        self._states.setblocking(False)  # the main thread has signals to see to
        self._requests = socket.socket(fileno=place.requests)

    def start(self, worker: HookedWorker) -> None:
        """Begins to answer."""
        report = Report(worker, str(self._index)) if self._metrics else None
        threading.Thread(target=self._answer, args=(worker, report), name="supervisor", daemon=True).start()
        self.check(worker)

    def check(self, worker: HookedWorker) -> None:
        """Tells how the worker does."""
        self._tell(state_of(worker))

    def quiet(self) -> None:
        """Tells that it has begun to stop: nothing more is to be expected of it."""
        self._tell(None)

    def _tell(self, state: State | None) -> None:
        with contextlib.suppress(OSError):  # what the supervisor misses it is told the next time
            self._states.send(json.dumps(state).encode())

    def _answer(self, worker: HookedWorker, report: Report | None) -> None:
        asked = b""
        with self._requests, contextlib.suppress(OSError):
            while received := self._requests.recv(1 << 12):
                asked += received
                whole = len(asked) - len(asked) % REQUEST.size
                if whole and report is not None:
                    # Only the last: it does not wait for the others any more.
                    number, of_layer = REQUEST.unpack(asked[whole - REQUEST.size : whole])
                    text = report.text(of_layer).encode()
                    self._requests.sendall(REPLY.pack(number, len(text)) + text)
                asked = asked[whole:]
        logger.warning("The supervisor of the processes has gone: stopping")
        worker.quiet()


def own_place() -> Place | None:
    """Returns the place of this process; it is not to be taken for that of a process which this one starts."""
    place = place_from(os.environ)
    os.environ.pop(VARIABLE, None)
    return place
