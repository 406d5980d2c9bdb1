"""Threads of a pool that end by themselves."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.support.workers.job_source import Source, job_source, pool_of_three  # noqa: F401  fixtures
from workers.runtime.pool import Pool


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


def test_a_thread_that_cannot_be_replaced_goes_on(
    pool: Pool, source: Source, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no more threads, a slot after the other would be gone, and the worker hang."""
    struck = strike_once_after(pool, "_call", monkeypatch)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("slot-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    source.put(lambda: None)
    eventually(lambda: struck.is_set() and pool.lost == 1)
    together = threading.Barrier(3)
    ran: list[int] = []
    source.put(*[lambda: ran.append(together.wait(5))] * 3)
    eventually(lambda: sorted(ran) == [0, 1, 2] and source.asked[-1] == (3, True))
    assert "its old one goes on" in caplog.text
