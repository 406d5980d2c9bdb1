"""What becomes of messages when a worker is stopped or killed under load, by real signals."""

from __future__ import annotations

import random
import signal
import time

import pytest
import redis

from tests.support.faults.load import SLOTS, both_pools, left_in
from tests.support.servers import pause, resume
from tests.support.waiting import eventually


def stops_under_load(start, layer, notes, times):
    sent = 0
    for _ in range(times):
        for _ in range(300):
            layer.send("work", {"n": sent, "seconds": random.uniform(0, 0.01)})
            sent += 1
        worker = start()
        done = len(notes["done"])
        after = random.randrange(200)
        eventually(lambda after=after, done=done: len(notes["done"]) >= done + after)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.log
        assert sorted(notes["started"]) == sorted(notes["done"])
    done = notes.numbers("done")
    assert sorted(done + left_in(layer)) == list(range(sent))


@both_pools
def test_sigterm_under_load_leaves_each_message_run_once_or_in_redis(start, layer, notes):
    stops_under_load(start, layer, notes, 2)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_twenty_sigterms_under_load_leave_each_message_run_once_or_in_redis(start, layer, notes):
    stops_under_load(start, layer, notes, 20)


def test_a_second_sigterm_ends_it_and_what_was_not_begun_is_still_in_redis(start, layer, notes):
    for n in range(SLOTS):
        layer.send("hold", {"n": n})
    worker = start()
    eventually(lambda: len(notes["started"]) == SLOTS)
    for n in range(20):
        layer.send("work", {"n": n})
    worker.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in worker.log)
    since = time.monotonic()
    eventually(lambda: time.monotonic() > since + 1.05)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 128 + signal.SIGTERM
    assert worker.log.count("Left behind") == SLOTS
    assert sorted(left_in(layer)) == list(range(20))


def test_kill_9_costs_what_was_running_and_no_more(start, layer, notes):
    for n in range(400):
        layer.send("work", {"n": n, "seconds": 0.005})
    worker = start()
    eventually(lambda: len(notes["done"]) > 50)
    worker.signal(signal.SIGKILL)
    worker.wait()
    started, done, left = notes.numbers("started"), notes.numbers("done"), left_in(layer)
    assert len(set(started)) == len(started)
    assert not set(started) & set(left)
    gone = set(range(400)) - set(done) - set(left)
    assert len(gone) <= SLOTS


def test_a_consumer_that_never_returns_holds_up_nobody_but_the_stop(start, layer, notes):
    worker = start("--shutdown-timeout", "0.5")
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"] == ["0"])
    for n in range(1, 50):
        layer.send("work", {"n": n})
    eventually(lambda: notes.numbers("done") == list(range(1, 50)))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 3
    assert "consumer tests.support.workers.consumers.hold with a message on channel 'hold'" in worker.log


def stopped_in_a_pause(start, layer, notes, pause, *flags):
    """Returns the exit code of a worker that was fetching when ``pause`` came, and the seconds that its stop took."""
    for n in range(300):
        layer.send("work", {"n": n, "seconds": 0.01})
    worker = start(*flags)
    eventually(lambda: len(notes["done"]) > 20)
    pause()
    eventually(lambda: len(notes["done"]) == len(notes["started"]))
    worker.signal(signal.SIGTERM)
    told = time.monotonic()
    code = worker.wait()
    return code, time.monotonic() - told


@pytest.mark.parametrize("seconds", [0.6, 1.5])
def test_sigterm_in_a_client_pause_ends_it_at_the_end_of_the_pause_or_after_a_second(
    start, layer, server, notes, seconds
):
    """Nothing is lost: what a client has asked for in the pause is dropped with its connection."""
    with redis.Redis(port=server.port, protocol=2) as client:
        code, took = stopped_in_a_pause(start, layer, notes, lambda: client.client_pause(round(1000 * seconds)))
    assert code == 0
    assert took < 15  # and not the 30 seconds of the shutdown timeout
    done = notes.numbers("done")
    assert notes.numbers("started") == done
    assert sorted(done + left_in(layer)) == list(range(300))


def test_sigterm_while_redis_hangs_ends_it_by_the_shutdown_timeout(start, layer, server, notes):
    """Redis answers the last request when it goes on, though nobody is there any more: that much may be lost."""
    try:
        code, took = stopped_in_a_pause(start, layer, notes, lambda: pause(server), "--shutdown-timeout", "1.5")
    finally:
        resume(server)
    assert code in (0, 3)
    assert took < 15
    done = notes.numbers("done")
    assert notes.numbers("started") == done
    kept = done + left_in(layer)
    assert len(set(kept)) == len(kept)
    assert len(kept) >= 300 - SLOTS
