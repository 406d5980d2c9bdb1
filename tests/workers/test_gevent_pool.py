from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

gevent = pytest.importorskip("gevent")

from gevent.event import Event  # noqa: E402  only where there is gevent

from workers.gevent_pool import GeventPool  # noqa: E402


@pytest.fixture
def pool() -> Iterator[GeventPool]:
    pool = GeventPool(3)
    pool.start()
    yield pool
    pool.quiet()
    assert pool.stop(time.monotonic() + 5)


def test_acquire_takes_every_free_slot_and_waits_where_there_is_none(pool: GeventPool) -> None:
    assert pool.acquire(5) == 3
    assert pool.acquire(0.01) == 0
    gevent.spawn_later(0.02, pool.release, 2)
    assert pool.acquire(5) == 2
    pool.release(3)


def test_jobs_run_side_by_side_and_free_their_slots(pool: GeventPool) -> None:
    assert pool.acquire(5) == 3
    may_end = Event()
    running: list[int] = []

    def job() -> None:
        running.append(1)
        may_end.wait()

    for _ in range(3):
        pool.submit(job)
    assert pool.acquire(0.05) == 0
    assert len(running) == 3
    may_end.set()
    assert pool.acquire(5) >= 1
    gevent.sleep(0.01)
    pool.release(3 - pool.acquire(0.01) or 1)


@pytest.mark.parametrize("error", [SystemExit("from a job"), gevent.GreenletExit(), ValueError("x")])
def test_a_job_that_raises_gives_its_slot_back(
    pool: GeventPool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def job() -> None:
        raise error

    for _ in range(5):
        slots = pool.acquire(5)
        pool.submit(job)
        pool.release(slots - 1)
    pool.quiet()
    assert pool.stop(time.monotonic() + 5)
    assert caplog.text.count("Error in a greenlet") == 5


def test_quiet_ends_a_wait_for_a_slot_and_slots_already_taken_still_run(pool: GeventPool) -> None:
    pool.acquire(5)
    gevent.spawn_later(0.02, pool.quiet)
    before = time.monotonic()
    assert pool.acquire(5) == 0
    assert time.monotonic() - before < 2
    ran = Event()
    pool.submit(ran.set)
    pool.release(2)
    assert ran.wait(5)


def test_stop_waits_for_jobs_until_its_deadline(pool: GeventPool) -> None:
    pool.acquire(5)
    may_end = Event()
    pool.submit(may_end.wait)
    pool.release(2)
    pool.quiet()
    start = time.monotonic()
    assert not pool.stop(start + 0.1)
    assert 0.1 <= time.monotonic() - start < 2
    may_end.set()
    assert pool.stop(time.monotonic() + 5)
