"""A Sentinel layer in several native threads of a process that gevent has patched: each has a hub of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("gevent")

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from asgi_redis import RedisSentinelChannelLayer

hosts = [("127.0.0.1", int(port)) for port in sys.argv[2:]]
layer = RedisSentinelChannelLayer(hosts=hosts, services=["one"], prefix=sys.argv[1], capacity=1000)

def send():
    for _ in range(20):
        layer.send("work", {})
        layer.close()  # so that the Sentinels are asked for the next connection
        gevent.sleep(0)

pool = gevent.get_hub().threadpool
jobs = [gevent.spawn(send), gevent.spawn(send), pool.spawn(send), pool.spawn(send)]
ended = gevent.joinall(jobs, timeout=30)
print(len(ended), [repr(job.exception) for job in ended if job.exception], len(layer.receive_batch(["work"], 1000)))
sys.stdout.flush()
os._exit(0)
"""


def test_sentinels_are_asked_by_several_hubs(cluster, prefix):
    ports = [str(watcher.port) for watcher in cluster.watchers]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, prefix, *ports], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.stdout == "4 [] 80\n", ended.stderr
