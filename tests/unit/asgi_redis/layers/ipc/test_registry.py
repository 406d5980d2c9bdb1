"""The registry and the counters of an IPC layer among real processes, killed and forked ones, too."""

from __future__ import annotations

import os
import signal

import pytest

from asgi_redis.engine.facts import QUIET
from asgi_redis.wire.registry import REPORT_EXPIRY_SECONDS
from tests.support.stores.lmdb_stores import clock, run  # noqa: F401  a fixture
from tests.support.waiting import eventually

MAKE = "import sys; from asgi_redis import IPCChannelLayer; layer = IPCChannelLayer(path=sys.argv[1])\n"
REPORTING = MAKE + (
    "n = 0\n"
    "while True:\n"
    "    n += 1\n"
    "    if layer.registry.report(sys.argv[2], {'n': n, 'filling': 'x' * 20_000}) == 'quiet':\n"
    "        break\n"
    "    layer.count('a', 'messages_retried')\n"
    "layer.registry.withdraw(sys.argv[2])\n"
)


def names(layer):
    return [entry.process for entry in layer.registry.processes()]


def test_several_processes_report_and_one_obeys(layer, base):
    processes = [run(REPORTING, base, f"worker.{number}", wait=False) for number in range(3)]
    try:
        eventually(lambda: names(layer) == ["worker.0", "worker.1", "worker.2"], timeout=20)
        assert layer.registry.ask("worker.1", QUIET)
        assert processes[1].wait(20) == 0
        assert names(layer) == ["worker.0", "worker.2"]
        assert all(process.poll() is None for process in (processes[0], processes[2]))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_processes_that_are_killed_amid_their_reports_damage_nothing_and_expire(layer, base, clock):  # noqa: F811
    for number in range(8):
        process = run(REPORTING, base, f"killed.{number}", wait=False)
        try:
            eventually(lambda: f"killed.{number}" in names(layer), timeout=20)  # noqa: B023  called at once
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        layer.registry.report("alive", {"n": number})
        assert layer.registry.processes()[0].report == {"n": number}
    assert len(names(layer)) == 9
    assert layer.global_statistics()["messages_retried"] == layer.channel_statistics("a")["messages_retried"] > 0
    clock.now += REPORT_EXPIRY_SECONDS + 60  # it stood still while they reported
    assert names(layer) == []


def test_a_forked_process_reports_over_the_layer_of_its_parent(layer):
    layer.registry.report("parent", {"n": 1})
    pid = os.fork()
    if not pid:
        code = 1
        try:
            layer.registry.report("child", {"n": 2})
            layer.count("a", "messages_retried")
            code = int(names(layer) != ["child", "parent"])
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert names(layer) == ["child", "parent"]
    assert layer.channel_statistics("a")["messages_retried"] == 1


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from asgi_redis import IPCChannelLayer

layer = IPCChannelLayer(path=sys.argv[1], capacity=10_000)

def report(number):
    for n in range(50):
        layer.registry.report(f"greenlet.{number}", {"n": n})
        layer.count("a", "messages_retried")
        layer.send("a", {"n": n})
        gevent.sleep()

def look():
    for _ in range(20):
        for found in layer.inspector.sweep():
            gevent.sleep()
        layer.inspector.peek("a", 5)

gevent.joinall([*(gevent.spawn(report, number) for number in range(4)), gevent.spawn(look)], raise_error=True)
assert [entry.report for entry in layer.registry.processes()] == [{"n": 49}] * 4
assert layer.inspector.purge("a") == 200
"""


def test_greenlets_report_and_look(layer, base):
    pytest.importorskip("gevent")
    run(GEVENT, base)
    assert len(names(layer)) == 4
    assert layer.channel_statistics("a")["messages_retried"] == 200


def test_the_versions_before_can_share_a_store(layer):
    """Each key begins with a byte that they know; else they would take the store for another program's."""
    layer.send("a", {})
    layer.group_add("g", "a")
    layer.count("a", "messages_retried")
    layer.registry.report("worker.1", {})
    keys = layer.store.transact(lambda environment, txn, at: [key for key, _ in txn.cursor()])
    assert {key[:1] for key in keys} <= {b"c", b"g", b"m", b"s", b"v"}
    assert {b"se", b"sea", b"srworker.1"} <= set(keys)
