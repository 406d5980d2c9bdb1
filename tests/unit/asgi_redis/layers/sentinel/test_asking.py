"""Several threads ask the Sentinels at a time, some of which do not answer."""

from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest

from asgi_redis.process import time_limits
from tests.support.proxy import Proxy
from tests.support.threads import in_threads
from tests.support.waiting import eventually


@pytest.fixture
def lines(cluster):
    """A proxy before each of two Sentinels, in the order in which a layer is to ask them."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Proxy((watcher.host, watcher.port))) for watcher in cluster.watchers[:2]]


@pytest.fixture
def layer(cluster, lines, sentinel_layer_for):
    return sentinel_layer_for(
        cluster, hosts=[(line.host, line.port) for line in lines], services=["one"], capacity=1000
    )


def go_down(line):
    line.refuse = True
    line.cut()


def test_none_is_forgotten_when_threads_find_the_first_one_down_at_the_same_time(layer, lines):
    first, second = lines
    go_down(first)
    second.delay = 0.1  # so that all have asked it before it answers one of them
    in_threads(lambda n: layer.send("work", {"n": n}), range(4))
    first.refuse, second.delay = False, 0.0
    go_down(second)
    layer.close()  # so that the Sentinels are asked for a new connection
    layer.send("work", {"n": 4})
    assert sorted(message["n"] for _, message in layer.receive_batch(["work"], 10)) == [0, 1, 2, 3, 4]


def test_one_that_answers_is_found_by_a_thread_that_began_before_another_had_found_it(layer, lines):
    silent, _ = lines
    silent.swallow = True
    errors = []

    def send(n):
        try:
            layer.send("work", {"n": n})
        except Exception as error:  # noqa: BLE001  looked at below
            errors.append(error)

    early, late = (threading.Thread(target=send, args=(n,)) for n in range(2))
    early.start()
    eventually(lambda: len(silent._lines) == 1)
    late.start()
    eventually(lambda: len(silent._lines) == 2)
    waits = silent._lines[1]

    def early_has_gone_on():
        for line in silent._lines[:]:
            if line is not waits:
                line.cut()
        return not early.is_alive()

    eventually(early_has_gone_on)
    late.join()
    assert errors == []


class TestAskingAgain:
    """Once a second the Sentinels are asked whether the connections that are there still lead to the master."""

    def test_it_holds_up_no_call_for_more_than_a_second_though_all_sentinels_hang(self, layer, lines):
        layer.send("work", {"n": 0})
        for line in lines:
            line.swallow = True
            line.reset_counters()
        took = []

        def send():
            started = time.monotonic()
            layer.send("work", {"n": 1})
            took.append(time.monotonic() - started)
            return lines[0].bytes_to_server

        eventually(send)
        for _ in range(20):
            send()
        assert 0.9 < max(took) < 1.9
        assert sum(duration > 0.9 for duration in took) == 1

    def test_an_answer_that_comes_after_that_counts_all_the_same(self, layer, cluster, monkeypatch):
        layer.send("work", {"n": 0})
        shard = layer._shards[0]
        connection = shard.server.checkout()
        asked, answered = threading.Event(), threading.Event()
        elsewhere = ("127.0.0.1", 1)

        def master(service):
            asked.set()
            assert answered.wait(10)
            return elsewhere

        monkeypatch.setattr(shard.server.host._cluster, "master", master)
        eventually(lambda: shard.server.host.is_current(connection) and asked.is_set())
        answered.set()
        eventually(lambda: not shard.server.host.is_current(connection))
        connection.disconnect()

    def test_where_no_thread_can_be_started_it_is_done_all_the_same(self, layer, lines, monkeypatch):
        layer.send("work", {"n": 0})
        lines[0].reset_counters()

        class Thread(threading.Thread):
            def start(self):
                raise RuntimeError("can't start new thread")

        monkeypatch.setattr(time_limits, "threading", SimpleNamespace(Thread=Thread))
        eventually(lambda: layer.send("work", {"n": 1}) or lines[0].bytes_to_server)
