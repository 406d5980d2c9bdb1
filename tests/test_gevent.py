"""The layer under gevent: a gevent.Timeout may come whenever the layer waits for Redis, and nothing is lost by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("gevent")

# Timeouts of about the length of a round trip: they hit every place where a greenlet switches.
PROGRAM = """
from gevent import monkey
monkey.patch_all()
import random, sys
import gevent
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=sys.argv[2:], prefix=sys.argv[1], capacity=100000)
layer.block_timeout = 0.2
received, timeouts, done = [], [], []

def read():
    while not done:
        with gevent.Timeout(random.uniform(0.0005, 0.01)) as timeout:
            try:
                channel, message = layer.receive(["work"], block=True)
            except gevent.Timeout as raised:
                assert raised is timeout
                timeouts.append(raised)
            else:
                if channel:
                    received.append(message["n"])

readers = [gevent.spawn(read) for _ in range(8)]
for number in range(1500):
    layer.send("work", {"n": number})
    if number % 20 == 0:
        gevent.sleep(0.005)
done.append(True)
gevent.joinall(readers, raise_error=True)
batch = layer.receive_batch(["work"], 1000)
while batch:
    received += [message["n"] for _, message in batch]
    batch = layer.receive_batch(["work"], 1000)
assert len(timeouts) > 50, len(timeouts)
assert sorted(received) == list(range(1500)), f"{len(received)} received, {len(set(received))} different"
"""


@pytest.mark.parametrize("shards", [1, 3])
def test_timeouts_at_any_moment_lose_and_double_nothing(three_redis_servers, prefix, shards):
    urls = [server.url for server in three_redis_servers[:shards]]
    ended = subprocess.run([sys.executable, "-c", PROGRAM, prefix, *urls], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
