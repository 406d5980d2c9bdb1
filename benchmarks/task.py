"""A workload bound to a subject: the call, and the contents of Redis before it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

from .raw import RawConnection
from .workloads import Workload

CHANNEL, GROUP = "bench", "everyone"
FOR_THREADS = 40_000  # messages that are waiting when many threads receive at once


class Task:
    """``call`` is the call under test; for asynchronous subjects, of a coroutine."""

    def __init__(self, workload: Workload, subject: Any, raw: RawConnection) -> None:
        self._workload, self._subject, self._raw = workload, subject, raw
        self.message = {"type": "bench.message", "text": "x" * workload.size}
        self._groups: dict[str, list[str]] = {}
        self._turns: Iterator[str] = iter(())
        if workload.call == "send":
            self.call = partial(subject.send, CHANNEL, self.message)
        elif workload.call == "group_send" and workload.changed:
            self.call = self._send_to_next_group
        elif workload.call == "group_send":
            self.call = partial(subject.group_send, f"{GROUP}0", self.message)
        else:
            self.call = partial(subject.receive, CHANNEL, workload.block)

    def _send_to_next_group(self) -> Any:
        return self._subject.group_send(next(self._turns), self.message)

    def prepare(self) -> None:
        """Fill Redis anew for the calls, without the subject's client."""
        self._raw.flush()
        if self._workload.call == "receive":
            # More than will be read: channels_redis would block on an empty queue.
            count = FOR_THREADS + 100 if self._workload.threads > 1 else self._workload.chunk + 1
            commands = (self._subject.queued(CHANNEL, self.message) for _ in range(count))
            self._raw.pipeline(itertools.chain.from_iterable(commands))
        elif self._workload.call == "group_send":
            if self._workload.changed or not self._groups:
                self._groups = _groups(self._workload)
            self._turns = iter(self._groups)
            commands = (self._subject.grouped(group, members) for group, members in self._groups.items())
            self._raw.pipeline(itertools.chain.from_iterable(commands))

    def check(self, returned: Any) -> None:
        """Raise unless the call has done its work."""
        if self._workload.call == "receive":
            assert returned == self.message, f"received {returned!r}"
        elif self._workload.call == "send":
            self._expect(CHANNEL)
        else:
            for queue in {name[: name.index("!") + 1] for name in next(iter(self._groups.values()))}:
                self._expect(queue)

    def _expect(self, channel: str) -> None:
        command = self._subject.depth(channel)
        if command is not None:
            assert self._raw.call(*command) >= 1, f"nothing arrived in {channel}"


def _groups(workload: Workload) -> dict[str, list[str]]:
    """Return the members of each group, which differ from group to group."""
    groups = workload.chunk if workload.changed else 1
    shared = uuid.uuid4().hex
    names = [
        f"specific.{uuid.uuid4().hex if workload.own_prefixes else shared}!{uuid.uuid4().hex}"
        for _ in range(workload.members + (groups - 1) * workload.changed)
    ]
    starts = range(0, groups * workload.changed, workload.changed) if workload.changed else (0,)
    return {f"{GROUP}{start}": names[start : start + workload.members] for start in starts}
