"""``InMemoryChannelLayer``: the layer over the store in memory, in threads, greenlets and forked processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.exceptions import ConfigurationError
from tests.support.threads import in_threads
from workers import Worker, route


class TestLayer:
    def test_it_keeps_apart_from_others(self):
        one, other = InMemoryChannelLayer(), InMemoryChannelLayer()
        one.send("a", {})
        assert other.receive(["a"]) == (None, None)

    def test_it_shows_no_secrets(self):
        assert str(InMemoryChannelLayer(symmetric_encryption_keys=["secret"])) == "InMemoryChannelLayer()"

    def test_it_says_that_it_does_not_cross_processes(self):
        assert not InMemoryChannelLayer.crosses_processes

    @pytest.mark.parametrize(
        "settings",
        [
            {"expiry": 0},
            {"capacity": "100"},
            {"max_message_bytes": 0},
            {"max_message_bytes": True},
            {"symmetric_encryption_keys": "abc"},
        ],
    )
    def test_a_setting_that_cannot_work_is_refused(self, settings):
        with pytest.raises(ConfigurationError, match=next(iter(settings))):
            InMemoryChannelLayer(**settings)

    def test_messages_outlive_close(self):
        with InMemoryChannelLayer() as layer:
            layer.send("a", {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_child_of_a_fork_that_comes_at_any_moment_has_a_layer_that_works(self):
        """Also when another thread is in the middle of a send."""
        layer, stopping = InMemoryChannelLayer(capacity=10_000_000), threading.Event()
        mine = layer.client_prefix

        def send():
            while not stopping.is_set():
                layer.send("a", {})
                layer.receive(["a"])
                time.sleep(0)  # under gevent no other greenlet would have a turn

        def fork():
            for _ in range(20):
                pid = os.fork()
                if not pid:
                    layer.send("own", {"n": 1})
                    received = layer.receive(["own"]), layer.receive(["a"]), layer.client_prefix != mine
                    os._exit(received != (("own", {"n": 1}), (None, None), True))
                assert os.waitpid(pid, 0)[1] == 0
            stopping.set()

        in_threads(lambda work: work(), [send, send, fork])

    def test_a_worker_in_a_thread_serves_it(self):
        layer, answered = InMemoryChannelLayer(), threading.Event()

        def consume(message):
            message.reply_channel.send({"n": message["n"] + 1}, immediately=True)

        worker = Worker(layer, [route("work", consume)])
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            reply_channel = layer.new_channel("reply?")
            layer.send("work", {"n": 1, "reply_channel": reply_channel})
            layer.block_timeout = 20
            assert layer.receive([reply_channel], block=True) == (reply_channel, {"n": 2})
            answered.set()
        finally:
            worker.quiet()
            thread.join(20)
        assert not thread.is_alive()


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, time
from asgi_redis import InMemoryChannelLayer

layer = InMemoryChannelLayer(capacity=1000)
layer.block_timeout = 10
ticks = []

def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)

def serve():
    while True:
        channel, message = layer.receive(["work"], block=True)
        layer.send(message["reply"], {"n": message["n"] + 1})

def ask(n):
    reply = layer.new_channel("reply?")
    layer.send("work", {"n": n, "reply": reply})
    return layer.receive([reply], block=True)[1]["n"]

gevent.spawn(tick)
waiting = gevent.spawn(layer.receive, ["later"], True)
for _ in range(5):
    gevent.spawn(serve)
began = time.monotonic()
gevent.sleep(0.1)
answers = gevent.joinall([gevent.spawn(ask, n) for n in range(100)], timeout=5)
print(sorted(answer.value for answer in answers) == list(range(1, 101)), len(ticks) > 3)
layer.send("later", {})
print(waiting.get(timeout=5), time.monotonic() - began < 5)
"""


def test_greenlets_wait_without_holding_up_each_other():
    pytest.importorskip("gevent")
    ended = subprocess.run([sys.executable, "-c", GREENLETS], capture_output=True, text=True, timeout=30)
    assert (ended.stdout, ended.stderr) == ("True True\n('later', {}) True\n", "")


def test_sends_and_receives_are_fast():
    """Generous: 140,000 pairs a second were measured. A sweep over everything would show here."""
    layer = InMemoryChannelLayer()
    for number in range(5000):
        layer.send(f"idle.{number}", {})
    began = time.thread_time()
    for _ in range(1000):
        layer.send("a", {"n": 1})
        layer.receive(["a"])
    assert time.thread_time() - began < 1
