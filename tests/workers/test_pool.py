from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import eventually
from workers.pool import Job, Pool


class Source:
    """Where a pool fetches its jobs from; notes how many slots were free each time, and whether all were."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.fetching = 0
        self.fetcher = threading.current_thread()
        self.ended: list[BaseException | None] = []
        self.fail_with: BaseException | None = None
        self._jobs: deque[Job] = deque()
        self._quieted = False
        self._changed = threading.Condition()

    def put(self, *jobs: Any) -> None:
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify_all()

    def quiet(self) -> None:
        with self._changed:
            self._quieted = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self.fail_with = error
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._jobs)

    def fetch(self, slots: int, idle: bool) -> list[Job] | None:
        with self._changed:
            self.fetching += 1
            assert self.fetching == 1  # one at a time
            try:
                self.fetcher = threading.current_thread()
                self.asked.append((slots, idle))
                self._changed.wait_for(lambda: self._jobs or self._quieted or self.fail_with, 0.5)
                if self.fail_with is not None:
                    error, self.fail_with = self.fail_with, None
                    raise error
                if self._jobs:
                    return [self._jobs.popleft() for _ in range(min(slots, len(self._jobs)))]
                return None if self._quieted else []
            finally:
                self.fetching -= 1


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def pool(source: Source) -> Iterator[Pool]:
    pool = Pool(3)
    pool.start(source.fetch, source.ended.append)
    yield pool
    source.quiet()
    assert pool.stop(time.monotonic() + 5)


def test_one_slot_fetches_for_all_that_are_free(pool: Pool, source: Source) -> None:
    gate = threading.Event()
    eventually(lambda: source.asked)
    assert source.asked == [(3, True)]
    source.put(gate.wait)
    eventually(lambda: source.asked[-1] == (2, False))
    source.put(gate.wait, gate.wait, gate.wait)
    eventually(lambda: pool.saturated)
    assert len(source) == 1  # what has no slot is not fetched
    assert not source.fetching
    gate.set()
    eventually(lambda: source.asked[-1] == (3, True))
    assert len(source) == 0


def test_jobs_run_side_by_side_in_daemon_threads_of_their_own(pool: Pool, source: Source) -> None:
    together = threading.Barrier(4)
    threads = []

    def job() -> None:
        threads.append(threading.current_thread())
        together.wait(5)

    source.put(job, job, job)
    together.wait(5)
    assert len({thread.name for thread in threads}) == 3
    assert all(thread.daemon for thread in threads)


def test_a_single_slot_runs_what_it_has_fetched_itself() -> None:
    source, pool = Source(), Pool(1)
    fetched_by: list[threading.Thread] = []
    ran_by: list[threading.Thread] = []
    fetch = source.fetch

    def noted(slots: int, idle: bool) -> list[Job] | None:
        fetched_by.append(threading.current_thread())
        return fetch(slots, idle)

    source.put(*[lambda: ran_by.append(threading.current_thread())] * 5)
    pool.start(noted, source.ended.append)
    eventually(lambda: len(ran_by) == 5)
    assert {*fetched_by} == {*ran_by}
    source.quiet()
    assert pool.stop(time.monotonic() + 5)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit("x"), KeyboardInterrupt()])
def test_a_job_that_raises_gives_its_slot_back(
    pool: Pool, source: Source, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def job() -> None:
        raise error

    source.put(*[job] * 7)
    eventually(lambda: caplog.text.count("Error in a pool thread") == 7)
    eventually(lambda: source.asked[-1] == (3, True))


def test_a_job_is_let_go_before_its_slot_is_free(pool: Pool, source: Source) -> None:
    """It holds a message, which may be large."""
    import weakref

    class Message:
        def __call__(self) -> None:
            pass

    messages = [Message() for _ in range(3)]
    references = [weakref.ref(message) for message in messages]
    source.put(*messages)
    del messages
    eventually(lambda: source.asked[-1] == (3, True) and all(reference() is None for reference in references))


def test_fetching_that_fails_is_told_and_taken_up_again_when_asked(pool: Pool, source: Source) -> None:
    error = LookupError("a bug")
    eventually(lambda: source.fetching)
    source.fail(error)
    eventually(lambda: source.ended == [error])
    ran = threading.Event()
    source.put(ran.set)
    assert not source.fetching
    pool.resume()
    assert ran.wait(5)


def test_the_end_of_fetching_is_told_and_what_was_fetched_still_runs(pool: Pool, source: Source) -> None:
    gate, ran = threading.Event(), threading.Event()
    source.put(lambda: (gate.wait(5), ran.set()))
    eventually(lambda: source.asked[-1] == (2, False))
    source.quiet()
    eventually(lambda: source.ended == [None])
    assert pool.settle(time.monotonic() + 5)
    assert not pool.stop(time.monotonic())
    gate.set()
    assert pool.stop(time.monotonic() + 5)
    assert ran.is_set()


def test_stop_waits_for_jobs_until_its_deadline(pool: Pool, source: Source) -> None:
    gate = threading.Event()
    source.put(gate.wait)
    eventually(lambda: source.asked[-1] == (2, False))
    source.quiet()
    start = time.monotonic()
    assert not pool.stop(start + 0.1)
    assert 0.1 <= time.monotonic() - start < 2
    gate.set()
    assert pool.stop(time.monotonic() + 5)


def test_stop_ends_the_threads(source: Source) -> None:
    before = threading.active_count()
    pool = Pool(3)
    pool.start(source.fetch, source.ended.append)
    source.quiet()
    assert pool.stop(time.monotonic() + 5)
    assert threading.active_count() == before


def test_kill_waits_for_nothing(source: Source) -> None:
    gate = threading.Event()
    pool = Pool(1)
    pool.start(source.fetch, source.ended.append)
    source.put(gate.wait)
    eventually(lambda: pool.saturated)
    pool.kill()
    gate.set()
    source.quiet()
    assert pool.stop(time.monotonic() + 5)


def strike(thread: threading.Thread) -> None:
    """Raises an exception into it from outside, as debuggers and time limits of libraries do."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


@pytest.mark.native("it raises an exception into a native thread")
def test_a_thread_that_ends_between_two_jobs_is_replaced_and_loses_none(
    pool: Pool, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[threading.Thread] = []

    def run_in_all_three() -> None:
        ran.clear()
        together = threading.Barrier(3)
        source.put(*[lambda: (ran.append(threading.current_thread()), together.wait(5))] * 3)
        eventually(lambda: len(ran) == 3 and source.asked[-1] == (3, True) and source.fetching)

    run_in_all_three()
    struck = [thread for thread in ran if thread is not source.fetcher]
    assert len(struck) == 2
    for thread in struck:
        strike(thread)
    # The exception waits until a thread is woken for something, which is then done by its successor.
    run_in_all_three()
    eventually(lambda: not any(thread.is_alive() for thread in struck))
    assert not set(struck) & set(ran)
    assert {thread.name for thread in struck} < {thread.name for thread in ran}
    assert pool.lost == 2
    assert "replacing it" in caplog.text


@pytest.mark.native("it raises an exception into a native thread")
def test_a_thread_that_is_struck_while_it_fetches_is_a_failed_fetch(pool: Pool, source: Source) -> None:
    eventually(lambda: source.fetching)
    strike(source.fetcher)
    eventually(lambda: source.ended)
    assert isinstance(source.ended[0], SystemExit)
    ran = threading.Event()
    pool.resume()
    source.put(ran.set)
    assert ran.wait(5)


def strike_once_after(pool: Pool, step: str, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Has SystemExit raised in a slot that has just returned from ``step``; the event is set when that was done."""
    original, struck = getattr(pool, step), threading.Event()

    def strike(*args: Any) -> None:
        original(*args)
        if not struck.is_set():
            struck.set()
            raise SystemExit("struck")

    monkeypatch.setattr(pool, step, strike)
    return struck


def test_a_thread_that_ends_with_the_lead_passes_it_on(
    pool: Pool, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: source.fetching)
    struck = strike_once_after(pool, "_claim", monkeypatch)
    ran = [threading.Event() for _ in range(3)]
    source.put(ran[0].set)  # whoever fetches it passes on the lead
    eventually(lambda: struck.is_set() and pool.lost == 1)
    source.put(*[event.set for event in ran[1:]])
    assert all(event.wait(5) for event in ran)
    eventually(lambda: source.asked[-1] == (3, True))


def test_a_thread_that_ends_right_after_a_job_gives_its_slot_back(
    pool: Pool, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck = strike_once_after(pool, "_call", monkeypatch)
    ran: list[int] = []
    source.put(lambda: ran.append(1))
    eventually(lambda: struck.is_set() and pool.lost == 1)
    eventually(lambda: source.asked[-1] == (3, True) and source.fetching)
    assert ran == [1]  # it is not run again


def test_a_stop_waits_for_a_thread_that_is_being_replaced_too(
    pool: Pool, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, start = threading.Event(), threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        if thread.name.startswith("slot-"):
            starting.set()
            eventually(lambda: pool._ended)
        start(thread)

    strike_once_after(pool, "_call", monkeypatch)
    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    source.put(lambda: None)
    assert starting.wait(5)
    source.quiet()
    assert pool.stop(time.monotonic() + 5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("slot-")]


def test_a_pool_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="0"):
        Pool(0)
