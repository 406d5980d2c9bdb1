"""``--stuck-timeout``, as the hooks see it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.support.workers.stand_ins import stand_in
from workers.operations.heartbeat import Heartbeat
from workers.operations.liveness import state_of
from workers.operations.stuck import MAX_LISTED, StuckWatch
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher
from workers.runtime.pool import Job, Pool


class Slots:
    """A worker with a pool whose jobs end when they are told to."""

    def __init__(self, size: int, stuck_timeout: float) -> None:
        self.worker: Any = stand_in()
        self.worker.pool = self.pool = Pool(size, stuck_timeout)
        self.worker.dispatcher = Dispatcher(Router({"jobs": self._hold}), self.worker.channel_layer, sender=None)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._may_end: SimpleQueue[None] = SimpleQueue()
        self.pool.start(self._fetch, lambda error: None)

    def _fetch(self, slots: int, idle: bool) -> list[Job] | None:
        job = self._jobs.get()
        return None if job is None else [job]

    def _hold(self, message: Any) -> None:
        self._may_end.get()

    def take(self, number: int = 1) -> None:
        """Returns when so many more messages are in progress."""
        running = len(self.worker.dispatcher.running())
        for _ in range(number):
            self._jobs.put(lambda: self.worker.dispatcher.dispatch("jobs", {}))
        eventually(lambda: len(self.worker.dispatcher.running()) == running + number)

    def end(self, number: int = 1) -> None:
        """Returns when so many messages have ended."""
        running = len(self.worker.dispatcher.running())
        for _ in range(number):
            self._may_end.put(None)
        eventually(lambda: len(self.worker.dispatcher.running()) == running - number)


@pytest.fixture
def slots() -> Iterator[Callable[[int, float], Slots]]:
    made: list[Slots] = []

    def make(size: int, stuck_timeout: float) -> Slots:
        made.append(Slots(size, stuck_timeout))
        return made[-1]

    yield make
    for each in made:
        each._jobs.put(None)
        for _ in range(each.pool.size):
            each._may_end.put(None)
        each.pool.kill()


def test_a_pool_is_stuck_when_no_slot_has_become_free_for_so_long(slots: Callable[..., Slots]) -> None:
    jobs = slots(2, 0.2)
    jobs.take()
    ended = threading.Event()
    assert not ended.wait(0.3)
    assert not jobs.pool.stuck  # a slot is free
    jobs.take()
    assert not jobs.pool.stuck  # it has been free until now
    eventually(lambda: jobs.pool.stuck)
    jobs.end()
    assert eventually(lambda: not jobs.pool.stuck)
    jobs.take()
    assert not jobs.pool.stuck
    eventually(lambda: jobs.pool.stuck)


def test_without_a_timeout_it_never_is(slots: Callable[..., Slots]) -> None:
    jobs = slots(1, float("inf"))
    jobs.take()
    assert jobs.pool.saturated
    assert not jobs.pool.stuck
    assert state_of(jobs.worker).pulls


def test_a_worker_that_is_stuck_does_not_pull_and_one_whose_slot_becomes_free_does(
    slots: Callable[..., Slots], tmp_path: Path
) -> None:
    path = tmp_path / "heartbeat"
    heartbeat = Heartbeat(str(path))
    jobs = slots(1, 0.0)
    assert state_of(jobs.worker) == (True, True, 0, 0, 0, False)
    jobs.take()
    assert state_of(jobs.worker) == (True, False, 1, 0, 0, True)
    path.unlink()
    heartbeat.check(jobs.worker)
    assert not path.exists()
    jobs.end()
    eventually(lambda: state_of(jobs.worker) == (True, True, 0, 1, 0, False))
    heartbeat.check(jobs.worker)
    assert path.exists()


def test_it_is_logged_once_with_the_consumers_that_run(
    slots: Callable[..., Slots], caplog: pytest.LogCaptureFixture
) -> None:
    jobs, watch = slots(MAX_LISTED + 1, 0.0), StuckWatch()
    watch.check(jobs.worker)
    jobs.take(MAX_LISTED + 1)
    for _ in range(3):
        watch.check(jobs.worker)
    jobs.end()
    eventually(lambda: not jobs.pool.stuck)
    for _ in range(3):
        watch.check(jobs.worker)
    stuck, free = caplog.messages
    assert stuck.startswith("Stuck: no slot has become free for 0 s; in progress: tests.unit.")
    assert stuck.count("_hold on channel 'jobs' for 0.") == MAX_LISTED
    assert stuck.endswith(" s and 1 more")
    assert free == "No longer stuck: a slot has become free"
