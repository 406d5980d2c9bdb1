"""Slots, jobs and the lead."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from tests.support.waiting import eventually
from tests.support.workers.job_source import Source, job_source, pool_of_three  # noqa: F401  fixtures
from tests.support.workers.processes import ROOT
from workers.runtime.pool import Job, Pool


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


def test_an_error_while_a_slot_is_counted_as_free_costs_no_slot(
    pool: Pool, source: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a gevent.Timeout that the job has left running."""

    def interrupted() -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    gate = threading.Event()
    source.put(gate.wait)
    eventually(lambda: source.asked[-1] == (2, False))
    source.quiet()
    assert not pool.stop(time.monotonic() + 0.01)
    monkeypatch.setattr(pool._settled, "notify_all", interrupted)
    gate.set()
    eventually(lambda: "Error in an idle slot" in caplog.text)
    assert pool.stop(time.monotonic() + 5)


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
    before = set(threading.enumerate())
    pool = Pool(3)
    pool.start(source.fetch, source.ended.append)
    source.quiet()
    assert pool.stop(time.monotonic() + 5)
    assert set(threading.enumerate()) <= before


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


def test_a_pool_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="0"):
        Pool(0)


LEFT_RUNNING = """
from gevent import monkey
monkey.patch_all()
import time
import gevent
from tests.support.waiting import eventually
from tests.support.workers.job_source import Source
from workers.runtime.pool import Pool

source, pool, ran = Source(), Pool(2), []
pool.start(source.fetch, source.ended.append)

def job():
    gevent.Timeout(0.01).start()
    time.sleep(0.001)  # the other slot takes the lead
    ran.append(gevent.getcurrent())

source.put(job)
eventually(lambda: source.asked[-1] == (2, True))
time.sleep(0.1)
if source.ended:
    pool.resume()
source.put(*[lambda: ran.append(gevent.getcurrent()) or time.sleep(0.01)] * 2)
eventually(lambda: len(set(ran[1:])) == 2)
source.quiet()
assert pool.stop(time.monotonic() + 5)
print("fine")
"""


def test_a_timeout_of_gevent_that_a_job_has_left_running_costs_no_slot() -> None:
    """It is raised in the slot's greenlet between two jobs."""
    pytest.importorskip("gevent")
    ran = subprocess.run([sys.executable, "-c", LEFT_RUNNING], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert ran.stdout == "fine\n", ran.stderr
    assert "Error in an idle slot" in ran.stderr
