"""Another server becomes the master, in the middle of everything: it goes on, and nothing comes twice."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from redis.exceptions import RedisError

from tests.support.sentinels import client_of
from tests.support.servers import pause, resume
from tests.support.waiting import eventually
from workers import Worker
from workers.runtime.pool import Pool


def crash(cluster, master):
    master.kill()


def in_good_order(cluster, master):
    cluster.failover("one")


def calls(server):
    """How many calls of ours it has carried out; what a replica gets from its master is something else."""
    with client_of(server) as client:
        statistics = client.info("commandstats")
    return sum(statistics.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "bzpopmin"))


@pytest.fixture(params=[crash, in_good_order], ids=["kill -9", "SENTINEL FAILOVER"])
def failover(request, fresh_cluster):
    """
    Makes it happen, and returns when the layer uses the new master.

    In good order, both are masters for up to ten seconds, until the Sentinels tell the old one.
    """

    def run():
        before = fresh_cluster.master_of("one")
        request.param(fresh_cluster, before)
        new = next(one for one in fresh_cluster.services["one"] if one is not before)
        eventually(lambda: fresh_cluster.master_of("one") is new, timeout=20)
        seen = time.monotonic()
        eventually(lambda: calls(new), timeout=20)
        assert time.monotonic() - seen < 5

    run.both_are_masters = request.param is in_good_order
    return run


@pytest.fixture(params=[0, pytest.param(2, marks=pytest.mark.soak)], ids=["asked each time", "cached"])
def layer(request, fresh_cluster, sentinel_layer_for):
    return sentinel_layer_for(
        fresh_cluster, services=["one"], sentinel_refresh_interval=request.param, capacity=10**6
    )


class Sending:
    """Sends numbered messages until it is told to stop; knows which were acknowledged."""

    def __init__(self, send):
        self.attempted = 0
        self.acknowledged = set()
        self.last = 0.0
        self._send = send
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stopped.wait(0.001):
            n, self.attempted = self.attempted, self.attempted + 1
            try:
                self._send({"n": n})
            except RedisError:
                continue
            self.acknowledged.add(n)
            self.last = time.monotonic()

    def goes_on(self):
        """Returns once a message was acknowledged after now."""
        now = time.monotonic()
        eventually(lambda: self.last > now, timeout=20)

    def stop(self):
        self._stopped.set()
        self._thread.join()


def none_came_twice(received, failover, marked):
    """What was in the queue while there were two masters can be read from both; nothing else can."""
    looked_at = [n for n in received if n >= marked] if failover.both_are_masters else received
    return max(Counter(looked_at).values()) == 1


def receive_all(layer, channel):
    received = []
    while True:
        batch = layer.receive_batch([channel], 1000, 0.2)
        if not batch:
            return received
        received += [message["n"] for _, message in batch]


def test_sends_go_on_and_none_comes_twice(layer, failover):
    sending = Sending(lambda message: layer.send("work", message))
    sending.goes_on()
    failover()
    sending.goes_on()
    marked = sending.attempted
    sending.goes_on()
    sending.stop()
    received = receive_all(layer, "work")
    assert none_came_twice(received, failover, marked)
    assert received == sorted(received)
    # What the old master had acknowledged and not yet passed on may be gone; what came after it may not.
    assert {n for n in sending.acknowledged if n >= marked} <= set(received)


@pytest.mark.soak
def test_group_sends_go_on_and_none_comes_twice(layer, failover, fresh_cluster):
    for n in range(20):
        layer.group_add("chat", f"member{n}")
    eventually(lambda: fresh_cluster.replicas_in_sync("one"))
    sending = Sending(lambda message: layer.send_group("chat", message))
    sending.goes_on()
    failover()
    sending.goes_on()
    marked = sending.attempted
    sending.goes_on()
    sending.stop()
    for n in range(20):
        received = receive_all(layer, f"member{n}")
        assert none_came_twice(received, failover, marked)
        assert {n for n in sending.acknowledged if n >= marked} <= set(received)


by_itself = pytest.mark.parametrize(
    "failover",
    [crash, pytest.param(in_good_order, marks=pytest.mark.soak)],
    ids=["kill -9", "SENTINEL FAILOVER"],
    indirect=True,
)


@pytest.mark.soak
def test_a_blocked_receive_goes_on(layer, failover):
    received = []
    stopped = threading.Event()

    def read():
        while not stopped.is_set():
            try:
                name, message = layer.receive(["work"], block=True)
            except RedisError:
                stopped.wait(0.02)
                continue
            if name:
                received.append(message["n"])

    reader = threading.Thread(target=read)
    reader.start()
    failover()
    sending = Sending(lambda message: layer.send("work", message))
    eventually(lambda: received, timeout=20)
    sending.goes_on()
    sending.stop()
    eventually(lambda: sending.acknowledged <= set(received))
    stopped.set()
    layer.unblock()
    reader.join()
    assert none_came_twice(received, failover, 0)


@by_itself
def test_a_worker_under_load_goes_on_and_says_so_in_two_lines_if_it_has_to_wait(layer, failover, caplog):
    ran = []
    worker = Worker(layer, {"work": lambda message: ran.append(message["n"])}, pool=Pool(4))
    worker.start()
    sending = Sending(lambda message: layer.send("work", message))
    eventually(lambda: len(ran) > 50)
    failover()
    sending.goes_on()
    marked = sending.attempted
    eventually(lambda: ran[-1] > marked, timeout=20)
    sending.stop()
    eventually(lambda: {n for n in sending.acknowledged if n >= marked} <= set(ran))
    worker.quiet()
    assert worker.stop(time.monotonic() + 10)
    assert none_came_twice(ran, failover, marked)
    lines = [record.getMessage() for record in caplog.records if "serve" in record.getMessage()]
    if not lines and failover.both_are_masters:
        return  # it was led over before the old one turned it away
    assert len(lines) == 2, lines
    assert "sentinel service one does not serve messages" in lines[0]
    assert "serves messages again after" in lines[1]


@pytest.mark.soak
def test_an_old_master_that_hangs_is_left_once_there_is_a_new_one(fresh_cluster, sentinel_layer_for):
    """Its sockets still take what is written to them: its idle connections are not used any more."""
    layer = sentinel_layer_for(fresh_cluster, services=["one"], connection_kwargs={"socket_timeout": 1})
    layer.send("work", {"n": 0})
    connections = [layer._shards[0].server.checkout() for _ in range(3)]
    for connection in connections:
        layer._shards[0].server.release(connection)
    old = fresh_cluster.services["one"][0]
    pause(old)
    try:
        new = eventually(lambda: fresh_cluster.master_of("one"), timeout=20)
        assert new is not old
        before = time.monotonic()
        layer.send("work", {"n": 1})
        assert time.monotonic() - before < 1
        with client_of(new) as client:
            assert client.zcard(f"{layer.prefix}work") >= 1
    finally:
        resume(old)


@pytest.mark.soak
def test_what_an_old_master_takes_when_it_goes_on_is_not_handed_out_a_second_time(fresh_cluster, sentinel_layer_for):
    """It carries out a receive from before it hung, whose messages the new master has handed out."""
    layer = sentinel_layer_for(fresh_cluster, services=["one"], connection_kwargs={"socket_timeout": 1})
    reader = layer.reader()
    for n in range(5):
        layer.send("work", {"n": n})
    old = fresh_cluster.services["one"][0]
    with client_of(old) as client:
        client.set(f"{layer.prefix}-replicated", "")
        assert client.wait(1, 2000) >= 1
    pause(old)
    try:
        assert reader.receive_batch(["work"], 10) == []  # the old master is asked all the same
        assert eventually(lambda: fresh_cluster.master_of("one"), timeout=20) is not old
        received = eventually(lambda: layer.receive_batch(["work"], 10), timeout=20)
    finally:
        resume(old)
    reader.close()
    assert layer._shards[0].server.background_replies.settle(time.monotonic() + 10)
    assert [message["n"] for _, message in received] == [0, 1, 2, 3, 4]
    assert layer.receive_batch(["work"], 10) == []
