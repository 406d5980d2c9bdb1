"""The IPC layer between processes, threads and greenlets."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest

from asgi_redis import IPCChannelLayer
from tests.support.stores.lmdb_stores import run

MAKE = "import sys; from asgi_redis import IPCChannelLayer; layer = IPCChannelLayer(path=sys.argv[1])\n"


class TestProcesses:
    def test_a_message_goes_to_another_process_and_back(self, layer, base):
        process = run(
            MAKE + "channel, message = layer.receive(['there'], block=True)\n"
            "layer.send(message['reply_channel'], {'heard': message['text']})",
            base,
            wait=False,
        )
        reply_channel = layer.new_channel("back?")
        layer.send("there", {"text": "hello", "reply_channel": reply_channel})
        assert layer.receive([reply_channel], block=True) == (reply_channel, {"heard": "hello"})
        process.communicate(timeout=20)
        assert process.returncode == 0

    def test_a_group_reaches_members_in_other_processes(self, layer, base):
        own = f"own.{layer.client_prefix}!"
        layer.group_add("all", f"{own}one")
        layer.group_add("all", f"{own}two")
        run(MAKE + "assert layer.send_group('all', {'n': 1}) == 0", base)
        received = [layer.receive([own]) for _ in range(2)]
        assert received == [(f"{own}one", {"n": 1}), (f"{own}two", {"n": 1})]

    def test_a_child_of_a_fork_shares_the_layer_but_not_its_client_prefix(self, layer):
        layer.send("a", {"n": 0})
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            layer.send("answer", {"received": layer.receive(["a"])[1]["n"]})
            os.write(writing, layer.client_prefix.encode())
            os._exit(0)
        assert layer.receive(["answer"], block=True) == ("answer", {"received": 0})
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(reading, 100).decode() not in ("", layer.client_prefix)
        os.close(reading)
        os.close(writing)

    def test_a_blocking_receive_is_woken_at_once_and_costs_no_cpu_meanwhile(self, base):
        """Generous: it is within 1 ms where nothing else runs."""
        process = run(
            MAKE + "import time\n"
            "print('ready', flush=True)\n"
            "before = time.process_time()\n"
            "channel, message = layer.receive(['work'], block=True)\n"
            "woken = time.clock_gettime(time.CLOCK_MONOTONIC)\n"
            "print(woken - message['sent'], time.process_time() - before)",
            base,
            wait=False,
        )
        process.stdout.readline()
        assert not select.select([process.stdout], [], [], 1)[0]
        with IPCChannelLayer(path=base) as layer:
            layer.send("work", {"sent": time.clock_gettime(time.CLOCK_MONOTONIC)})
        took, cpu = map(float, process.communicate(timeout=20)[0].split())
        assert took < 0.5
        assert cpu < 0.05


class TestWaiting:
    def test_unblock_ends_what_waits(self, layer):
        layer.block_timeout = 20
        received = []
        thread = threading.Thread(target=lambda: received.append(layer.receive(["a"], block=True)))
        thread.start()
        while thread.is_alive():
            layer.unblock()
            thread.join(0.01)
        assert received == [(None, None)]

    def test_a_reader_is_unblocked_also_before_it_waits(self, layer):
        reader = layer.reader()
        assert not reader.serving
        assert reader.receive_batch(["a"], 1, 20) == []  # the first call only looks
        assert reader.serving
        reader.unblock()
        assert reader.receive_batch(["a"], 1, 20) == []
        layer.send("a", {"n": 1})
        layer.send("a", {"n": 2})
        assert reader.receive_batch(["a"], 10, 20, limits={"a": 1}) == [("a", {"n": 1})]

    def test_a_time_of_waiting_is_kept(self, layer):
        began = time.monotonic()
        assert layer.receive_batch(["a", "b"], 1, timeout=0.2) == []
        assert 0.2 <= time.monotonic() - began < 5


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from asgi_redis import IPCChannelLayer

layer = IPCChannelLayer(path=sys.argv[1], capacity=10_000)
layer.block_timeout = 20
received, ticks = [], []

def read(number):
    while True:
        channel, message = layer.receive(["work", f"own{number}"], block=True)
        if message == {"stop": True}:
            return
        received.append(message["n"])

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

readers = [gevent.spawn(read, number) for number in range(20)]
ticking = gevent.spawn(tick)
gevent.sleep(0.3)  # all of them wait; the ticks go on
assert len(ticks) > 10, len(ticks)
for n in range(500):
    layer.send("work", {"n": n})
    if n % 10 == 0:
        gevent.sleep(0.001)
while len(received) < 500:
    gevent.sleep(0.001)
assert received and sorted(received) == list(range(500))
for number in range(20):
    layer.send(f"own{number}", {"stop": True})
gevent.joinall(readers, timeout=20, raise_error=True)
assert all(reader.dead for reader in readers)
ticking.kill()
with gevent.Timeout(0.05, False):
    layer.receive(["nothing"], block=True)
layer.send("nothing", {"n": 1})
assert layer.receive(["nothing"], block=True) == ("nothing", {"n": 1})
"""


def test_greenlets_wait_side_by_side(base):
    pytest.importorskip("gevent")
    run(GEVENT, base)


GEVENT_FORK = """
import gevent.monkey
gevent.monkey.patch_all()
import os, signal, sys
from asgi_redis import IPCChannelLayer

gevent.sleep()  # there is a loop now
layer = IPCChannelLayer(path=sys.argv[1])
layer.send("warm", {})  # opens the store; the fork comes before gevent's loop has run again
pid = os.fork()
if not pid:
    signal.alarm(20)
    layer.block_timeout = 10
    os._exit(layer.receive(["warm"], block=True) != ("warm", {}))
sys.exit(os.waitpid(pid, 0)[1])
"""


def test_a_child_forked_under_gevent_opens_the_store_at_once(base):
    """gevent's ``os.close`` comes late: with it alone, parent and child would hold the store's lock."""
    pytest.importorskip("gevent")
    run(GEVENT_FORK, base)
