"""One layer object in several native threads of a patched process, each of which has a hub of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

# Greenlets of the main thread's hub and jobs of gevent's thread pool send and receive, in all combinations.
PROGRAM = """
from gevent import monkey
monkey.patch_all()
import collections, os, sys, time
import gevent
from asgi_redis import InMemoryChannelLayer, IPCChannelLayer, RedisChannelLayer, RedisClusterChannelLayer

kind, place, prefix = sys.argv[1:]
layer = {
    "redis": lambda: RedisChannelLayer(hosts=[place], prefix=prefix, capacity=10**6),
    "cluster": lambda: RedisClusterChannelLayer(hosts=[place], shards=6, prefix=prefix, capacity=10**6),
    "ipc": lambda: IPCChannelLayer(path=place, capacity=10**6),
    "memory": lambda: InMemoryChannelLayer(capacity=10**6),
}[kind]()
layer.group_add("group", "b")
sent, received, all_sent = [], [], []

def send(name):
    for number in range(300):
        message = {"id": f"{name}:{number}"}
        layer.send("a", message) if number % 2 else layer.send_group("group", message)
        sent.append(message["id"])
        time.sleep(0.001)

def receive():
    while True:
        done = bool(all_sent)
        batch = layer.receive_batch(["a", "b"], 3, 0.1)
        received.extend(message["id"] for _, message in batch)
        if done and not batch:
            return

pool = gevent.get_hub().threadpool
receivers = [gevent.spawn(receive), gevent.spawn(receive), pool.spawn(receive), pool.spawn(receive)]
senders = [gevent.spawn(send, "g1"), gevent.spawn(send, "g2"), pool.spawn(send, "t1"), pool.spawn(send, "t2")]
ended = gevent.joinall(senders, timeout=30)
all_sent.append(True)
ended += gevent.joinall(receivers, timeout=30)
errors = [repr(job.exception) for job in ended if job.exception is not None]
assert not errors, errors
assert len(ended) == 8, f"{8 - len(ended)} hang"
assert len(sent) == 1200
assert collections.Counter(received) == collections.Counter(sent)
print("fine", flush=True)
os._exit(0)
"""

THREADS_THAT_END = """
from gevent import monkey
monkey.patch_all()
import contextlib, os, sys, time
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=[sys.argv[1]], prefix=sys.argv[2])
start_native_thread = monkey.get_original("_thread", "start_new_thread")
allocate_lock = monkey.get_original("_thread", "allocate_lock")

def send(done):
    layer.send("work", {})
    done.release()

for _ in range(20):
    done = allocate_lock()
    done.acquire()
    start_native_thread(send, (done,))
    done.acquire()


def count_sockets():
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return count


until = time.monotonic() + 20
while count_sockets() >= 10 and time.monotonic() < until:
    time.sleep(0.01)  # the last threads may be ending still
print(count_sockets(), flush=True)
os._exit(0)
"""


# What one hub keeps idle is of no use to another, and must not take its place.
ONE_CONNECTION = """
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=[{"address": sys.argv[1], "max_connections": 1}], prefix=sys.argv[2])
pool = gevent.get_hub().threadpool
for _ in range(3):
    layer.send("work", {})
    pool.spawn(layer.send, "work", {}).get()
print(len(layer.receive_batch(["work"], 10)), flush=True)
os._exit(0)
"""

LOOK = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from asgi_redis import InMemoryChannelLayer, IPCChannelLayer

layer = IPCChannelLayer(path=sys.argv[1]) if len(sys.argv) > 1 else InMemoryChannelLayer()
gevent.spawn(layer.send, "a", {})
while layer.receive(["a"]) == (None, None):
    pass
print("fine")
"""


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_a_native_thread_that_ends_closes_its_connections(redis_server, prefix):
    ended = run(THREADS_THAT_END, redis_server.url, prefix)
    assert int(ended.stdout) < 10, ended.stderr  # of 20 threads


def test_max_connections_are_those_of_all_hubs_together(redis_server, prefix):
    ended = run(ONE_CONNECTION, redis_server.url, prefix)
    assert ended.stdout == "6\n", ended.stderr


@pytest.mark.parametrize(
    "kind",
    [
        "redis",
        "cluster",
        pytest.param("ipc", marks=pytest.mark.soak),
        pytest.param("memory", marks=pytest.mark.soak),
    ],
)
def test_greenlets_and_native_threads_share_a_layer(kind, request, prefix, tmp_path):
    place = {
        "redis": lambda: request.getfixturevalue("redis_server").url,
        "cluster": lambda: request.getfixturevalue("shared_masters").urls[0],
    }.get(kind, lambda: str(tmp_path))()
    ended = run(PROGRAM, kind, place, prefix)
    assert ended.stdout == "fine\n", ended.stderr


@pytest.mark.parametrize("kind", ["ipc", pytest.param("memory", marks=pytest.mark.soak)])
def test_a_loop_that_only_looks_lets_other_greenlets_run(kind, tmp_path):
    ended = run(LOOK, *[str(tmp_path)] * (kind == "ipc"))
    assert ended.stdout == "fine\n", ended.stderr
