from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator

import pytest

from tests.waiting import eventually
from workers.pool import ThreadPool


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool(3)
    pool.start()
    yield pool
    pool.quiet()
    assert pool.stop(time.monotonic() + 5)


def test_acquire_takes_every_free_slot(pool: ThreadPool) -> None:
    assert pool.acquire(5) == 3
    pool.release(2)
    assert pool.acquire(5) == 2
    pool.release(3)


def test_acquire_waits_for_a_slot(pool: ThreadPool) -> None:
    pool.acquire(5)
    job_may_end = threading.Event()
    for _ in range(3):
        pool.submit(job_may_end.wait)  # type: ignore[arg-type]
    threading.Timer(0.05, job_may_end.set).start()
    taken = pool.acquire(5)
    assert job_may_end.is_set()
    assert taken >= 1
    pool.release(taken)


def test_jobs_run_in_daemon_threads_of_their_own(pool: ThreadPool) -> None:
    pool.acquire(5)
    together = threading.Barrier(4)
    threads = []

    def job() -> None:
        threads.append(threading.current_thread())
        together.wait(5)

    for _ in range(3):
        pool.submit(job)
    together.wait(5)
    assert len({thread.name for thread in threads}) == 3
    assert all(thread.daemon for thread in threads)


def test_a_job_that_raises_gives_its_slot_back(pool: ThreadPool, caplog: pytest.LogCaptureFixture) -> None:
    def job() -> None:
        raise SystemExit("from a job")

    for _ in range(5):
        slots = pool.acquire(5)
        pool.submit(job)
        pool.release(slots - 1)
    pool.quiet()
    assert pool.stop(time.monotonic() + 5)
    assert caplog.text.count("Error in a pool thread") == 5


def test_quiet_ends_a_wait_for_a_slot_and_slots_already_taken_still_run(pool: ThreadPool) -> None:
    pool.acquire(5)
    threading.Timer(0.05, pool.quiet).start()
    assert pool.acquire(5) == 0
    ran = threading.Event()
    pool.submit(ran.set)
    pool.release(2)
    assert ran.wait(5)


def test_stop_waits_for_jobs_until_its_deadline(pool: ThreadPool) -> None:
    pool.acquire(5)
    job_may_end = threading.Event()
    pool.submit(job_may_end.wait)  # type: ignore[arg-type]
    pool.release(2)
    pool.quiet()
    start = time.monotonic()
    assert not pool.stop(start + 0.1)
    assert 0.1 <= time.monotonic() - start < 2
    job_may_end.set()
    assert pool.stop(time.monotonic() + 5)


def test_stop_ends_the_threads() -> None:
    before = threading.active_count()
    pool = ThreadPool(3)
    pool.start()
    pool.quiet()
    assert pool.stop(time.monotonic() + 5)
    assert threading.active_count() == before


def test_kill_waits_for_nothing() -> None:
    pool = ThreadPool(1)
    pool.start()
    pool.acquire(5)
    job_may_end = threading.Event()
    pool.submit(job_may_end.wait)  # type: ignore[arg-type]
    pool.quiet()
    pool.kill()
    job_may_end.set()
    assert pool.stop(time.monotonic() + 5)


def take_all(pool: ThreadPool) -> bool:
    slots = pool.acquire(1)
    if slots < pool.size:
        pool.release(slots)
    return slots == pool.size


def test_a_thread_that_ends_by_itself_is_replaced_and_counted(
    pool: ThreadPool, caplog: pytest.LogCaptureFixture
) -> None:
    """Something raises an exception into it from outside, as debuggers and time limits of libraries do."""
    ran: list[threading.Thread] = []

    def run_in_all_three() -> None:
        ran.clear()
        together = threading.Barrier(3)
        for _ in range(3):
            pool.submit(lambda: (ran.append(threading.current_thread()), together.wait(5)))  # type: ignore[arg-type, return-value]

    eventually(lambda: take_all(pool))
    run_in_all_three()
    eventually(lambda: take_all(pool))
    thread = ran[0]
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    # The exception waits until the thread is woken for something, which is then done by its successor.
    run_in_all_three()
    eventually(lambda: len(ran) == 3 and not thread.is_alive())
    assert thread not in ran
    assert thread.name in [one.name for one in ran]
    assert pool.lost == 1
    assert "replacing it" in caplog.text


def test_a_pool_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="0"):
        ThreadPool(0)
