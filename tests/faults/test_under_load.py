"""
What happens to messages when something goes wrong under load, with real workers, signals and servers.

The consumers note what they begin and end in a Redis of their own, which no fault touches.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import RedisError

from asgi_redis import RedisChannelLayer
from tests.servers import pause, resume
from tests.waiting import eventually
from tests.workers.processes import MODULE, Notes, WorkerProcess

SLOTS = 8


@pytest.fixture(params=["thread", "gevent"])
def pool(request):
    if request.param == "gevent":
        pytest.importorskip("gevent")
    return request.param


@pytest.fixture
def server(fresh_redis_server):
    """The one that is at fault."""
    return fresh_redis_server


@pytest.fixture
def notes(redis_server, prefix) -> Iterator[Notes]:
    notes = Notes(redis_server.url, f"{prefix}-notes")
    yield notes
    notes.client.close()


@pytest.fixture
def layer(server, prefix):
    with RedisChannelLayer(hosts=[server.url], prefix=prefix, capacity=100_000) as layer:
        yield layer


@pytest.fixture
def start(server, prefix, notes, tmp_path, pool):
    """Starts a worker with ``SLOTS`` slots in the pool, and returns it when it listens."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str) -> WorkerProcess:
            command = [*MODULE, "--layer-url", server.url, "--prefix", prefix]
            command += ["--routing", "tests.workers.consumers.routing", "--pool", pool, "--concurrency", str(SLOTS)]
            worker = stack.enter_context(WorkerProcess([*command, *flags], tmp_path, env=notes.env))
            worker.listens()
            return worker

        yield start


def left_in(layer, channel="work"):
    return [content["n"] for _, content in layer.receive_batch([channel], 100_000)]


def outages(worker):
    """Returns how many began, and how many ended, by the log."""
    return worker.log.count("does not serve messages"), worker.log.count("serves messages again after")


class Sending:
    """A thread that sends numbered messages all the time; ``acknowledged`` are those that Redis took."""

    def __init__(self, layer, pause=0.002, **content):
        self.acknowledged: list[int] = []
        self.attempted = 0
        self._layer, self._pause, self._content = layer, pause, content
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._stopped.set()
        self._thread.join()

    def _run(self):
        while not self._stopped.wait(self._pause):
            n, self.attempted = self.attempted, self.attempted + 1
            try:
                self._layer.send("work", {"n": n, **self._content})
            except (RedisError, self._layer.ChannelFull):
                continue
            self.acknowledged.append(n)


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
    since = time.monotonic()
    eventually(lambda: "stopping" in worker.log)
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


def restarts(worker, layer, server, notes, times):
    with Sending(layer) as sending:
        for n in range(1, times + 1):
            eventually(lambda n=n: len(notes["done"]) > 20 * n)
            server.kill()
            eventually(lambda n=n: outages(worker)[0] == n)
            server.start()
            eventually(lambda n=n: outages(worker)[1] == n)
            mark = sending.attempted
            eventually(lambda mark=mark: any(n > mark for n in notes.numbers("done")))
    eventually(lambda: layer.channel_statistics("work")["messages_pending"] == 0)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
    done = Counter(notes.numbers("done"))
    assert max(done.values()) == 1
    return set(sending.acknowledged) - set(done)


def test_redis_killed_and_restarted_under_load(start, layer, server, notes):
    """What Redis had in memory when it was killed is gone; nothing else is, and nothing comes twice."""
    worker = start()
    lost = restarts(worker, layer, server, notes, 2)
    # With eight free slots the queue is all but empty, and so is the line between the two.
    assert len(lost) <= 2 * (SLOTS + 2), lost
    assert outages(worker) == (2, 2)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_redis_killed_and_restarted_under_load_ten_times(start, layer, server, notes):
    worker = start()
    assert len(restarts(worker, layer, server, notes, 10)) <= 10 * (SLOTS + 2)
    assert outages(worker) == (10, 10)


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
    assert "Traceback" not in worker.log


def test_a_paused_redis_is_waited_for(start, layer, server, notes):
    paused(start, layer, server, notes, 3)


@pytest.mark.soak
def test_a_redis_paused_for_ten_seconds_is_waited_for(start, layer, server, notes):
    paused(start, layer, server, notes, 10)


def test_out_of_memory_redis_is_emptied_by_its_workers(start, layer, server, notes):
    for n in range(50):
        layer.send("work", {"n": n, "padding": "x" * 10_000})
    layer.send("reply", {"n": 50})
    with redis.Redis(port=server.port, protocol=2) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
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


def test_a_consumer_that_never_returns_holds_up_nobody_but_the_stop(start, layer, notes):
    worker = start("--shutdown-timeout", "0.5")
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"] == ["0"])
    for n in range(1, 50):
        layer.send("work", {"n": n})
    eventually(lambda: notes.numbers("done") == list(range(1, 50)))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 3
    assert "consumer tests.workers.consumers.hold with a message on channel hold" in worker.log


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
    eventually(lambda: worker.log.count("cannot be decoded") == 200)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
