"""Workers whose Redis is away for a while, whatever the reason: they stay up, say so in two lines, and go on."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
import redis

from asgi_redis import RedisChannelLayer
from tests.support.faults.load import SLOTS, Sending, both_pools, lengths, outages, tells_of_outages_only
from tests.support.servers import pause, resume
from tests.support.waiting import eventually

BACKLOG = 2  # that a sender leaves to the worker


def restarts(worker, layer, server, notes, times):
    """Returns the messages that Redis took, and has lost."""
    away = []
    sender = RedisChannelLayer(hosts=[server.url], prefix=layer.prefix, capacity=BACKLOG)
    with sender, Sending(sender) as sending:
        for n in range(1, times + 1):
            eventually(lambda n=n: len(notes["done"]) > 20 * n)
            since = time.monotonic()
            server.kill()
            eventually(lambda n=n: outages(worker) == (n, n - 1))
            server.start()
            eventually(lambda n=n: outages(worker) == (n, n))
            away.append(time.monotonic() - since)
            mark = sending.attempted
            eventually(lambda mark=mark: any(n > mark for n in notes.numbers("done")))
    eventually(lambda: layer.channel_statistics("work")["messages_pending"] == 0)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
    done = Counter(notes.numbers("done"))
    assert max(done.values()) == 1
    assert tells_of_outages_only(worker, server, times)
    assert all(0 <= said <= was + 0.05 for said, was in zip(lengths(worker), away))
    return set(sending.acknowledged) - set(done)


@both_pools
def test_redis_killed_and_restarted_under_load(start, layer, server, notes):
    """What Redis had in memory when it was killed is gone; nothing else is, and nothing comes twice."""
    worker = start()
    lost = restarts(worker, layer, server, notes, 2)
    # What was in the queue, and on the line between the two.
    assert len(lost) <= 2 * (SLOTS + BACKLOG), lost


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_redis_killed_and_restarted_under_load_ten_times(start, layer, server, notes):
    worker = start()
    assert len(restarts(worker, layer, server, notes, 10)) <= 10 * (SLOTS + BACKLOG)


def paused(start, layer, server, notes, seconds):
    worker = start()
    with Sending(layer):
        eventually(lambda: len(notes["done"]) > 20)
        pause(server)
        since = time.monotonic()
        try:
            eventually(lambda: time.monotonic() > since + seconds, timeout=seconds + 1)
        finally:
            resume(server)
        done = len(notes["done"])
        eventually(lambda: len(notes["done"]) > done + 10, timeout=5)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
    done = notes.numbers("done")
    assert len(set(done)) == len(done)
    # One that falls into a wait for messages may be over before it is noticed.
    begun, ended = outages(worker)
    assert begun == ended <= 1
    assert tells_of_outages_only(worker, server, begun)
    assert all(length < seconds + 1 for length in lengths(worker))


def test_a_paused_redis_is_waited_for(start, layer, server, notes):
    paused(start, layer, server, notes, 3)


@pytest.mark.soak
def test_a_redis_paused_for_ten_seconds_is_waited_for(start, layer, server, notes):
    paused(start, layer, server, notes, 10)


def test_a_master_that_becomes_a_replica_and_one_again(start, layer, server, notes):
    worker = start()
    layer.send("work", {"n": 0})
    eventually(lambda: notes["done"] == ["0"])
    with redis.Redis(port=server.port, protocol=2) as client:
        client.replicaof("127.0.0.1", 1)
        eventually(lambda: outages(worker) == (1, 0))
        client.replicaof("NO", "ONE")
    layer.send("work", {"n": 1})
    eventually(lambda: notes["done"] == ["0", "1"])
    eventually(lambda: outages(worker) == (1, 1))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert tells_of_outages_only(worker, server, 1)


def test_writes_that_redis_puts_off_end_neither_it_nor_an_idle_worker(start, layer, server, notes):
    """``CLIENT UNBLOCK`` of a pop that was put off, as if it had timed out, would bring Redis down."""
    worker = start()
    layer.send("work", {"n": 0})
    eventually(lambda: notes["done"] == ["0"])
    with redis.Redis(port=server.port, protocol=2) as client:
        # Longer than a wait of the worker, which then ends its pop.
        client.client_pause(4000, all=False)
        eventually(lambda: outages(worker) == (1, 0))
        client.client_unpause()
        layer.send("work", {"n": 1})
        eventually(lambda: notes["done"] == ["0", "1"])
        assert outages(worker) == (1, 1)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
