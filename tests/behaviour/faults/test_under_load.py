"""Workers under load whose Redis does not go away, but does not make it easy."""

from __future__ import annotations

import signal
import time

import pytest
import redis

from tests.support.faults.load import SLOTS, Sending, outages
from tests.support.waiting import eventually


def test_out_of_memory_redis_is_emptied_by_its_workers(start, layer, server, notes):
    for n in range(50):
        layer.send("work", {"n": n, "padding": "x" * 10_000})
    layer.send("reply", {"n": 50})
    with redis.Redis(port=server.port, protocol=2) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1)
        with pytest.raises(redis.exceptions.ResponseError, match=r"OOM|maxmemory"):
            layer.send("work", {"n": 51})
        # What the consumer of the last one sends is refused: that is logged, and costs nothing else.
        worker = start()
        eventually(lambda: notes.numbers("done") == list(range(51)))
        client.config_set("maxmemory", 0)
    layer.send("work", {"n": 52})
    eventually(lambda: 52 in notes.numbers("done"))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_killed_connections_cost_only_what_was_on_its_way(start, layer, server, notes):
    worker = start()
    kills = 5
    with Sending(layer) as sending, redis.Redis(port=server.port, protocol=2) as client:
        for _ in range(kills):
            mark = sending.attempted
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            eventually(lambda mark=mark: any(n > mark for n in notes.numbers("done")))
    eventually(lambda: layer.channel_statistics("work")["messages_pending"] == 0)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
    done = notes.numbers("done")
    assert len(set(done)) == len(done)
    # A reply that was being read when the line was cut: at most one receive for each kill.
    assert len(set(sending.acknowledged) - set(done)) <= kills * SLOTS


def test_scripts_that_redis_has_forgotten_under_load(start, layer, server, notes):
    worker = start()
    with Sending(layer) as sending, redis.Redis(port=server.port, protocol=2) as client:
        for _ in range(20):
            mark = sending.attempted
            client.script_flush()
            eventually(lambda mark=mark: any(n > mark for n in notes.numbers("done")))
    eventually(lambda: notes.numbers("done") == sorted(sending.acknowledged))
    assert len(sending.acknowledged) == sending.attempted
    assert outages(worker) == (0, 0)


def test_ten_thousand_messages_do_not_keep_one_on_another_channel_waiting(start, layer, notes):
    for n in range(10_000):
        layer.send("work", {"n": n, "seconds": 0.002})
    layer.send("reply", {"n": 10_000})
    start()
    eventually(lambda: "10000" in notes["done"])
    assert notes["done"].index("10000") < 4 * SLOTS


def test_garbage_in_the_queue_is_dropped_under_load(start, layer, server, notes, prefix):
    worker = start()
    with redis.Redis(port=server.port, protocol=2) as client:
        for n in range(200):
            layer.send("work", {"n": n})
            client.zadd(f"{prefix}work", {b"garbage %d" % n: time.time()})
    eventually(lambda: notes.numbers("done") == list(range(200)))
    assert 1 <= worker.log.count("cannot be decoded") <= 2, "a line a minute, however many they are"
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
