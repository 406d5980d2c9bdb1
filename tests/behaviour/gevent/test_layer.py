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
from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer

prefix, shards, *hosts = sys.argv[1:]
if shards:
    layer = RedisClusterChannelLayer(hosts=hosts, shards=int(shards), prefix=prefix, capacity=100000)
else:
    layer = RedisChannelLayer(hosts=hosts, prefix=prefix, capacity=100000)
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
for number in range(600):
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
assert sorted(received) == list(range(600)), f"{len(received)} received, {len(set(received))} different"
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("shards", [pytest.param(1, marks=pytest.mark.soak), 3])
def test_timeouts_at_any_moment_lose_and_double_nothing(three_redis_servers, prefix, shards):
    urls = [server.url for server in three_redis_servers[:shards]]
    ended = interrupted(prefix, "", *urls)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_nor_do_they_on_a_cluster(shared_masters, prefix):
    ended = interrupted(prefix, "4", *shared_masters.urls)
    assert ended.returncode == 0, ended.stderr


def interrupted(*arguments):
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=110)


IN_THE_MIDDLE = """
from gevent import monkey
monkey.patch_all()
import sys, traceback
import gevent
from asgi_redis import RedisChannelLayer
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

def is_reading():
    return any(frame.name == "read_some" for frame in traceback.extract_stack(reader.gr_frame))

with Proxy((sys.argv[2], int(sys.argv[3]))) as proxy:
    layer = RedisChannelLayer(hosts=[proxy.url], prefix=sys.argv[1])
    reader = gevent.spawn(layer.receive, ["work"], block=True)
    proxy.hold_reply(b"mmm", 20_000)
    RedisChannelLayer(hosts=[(sys.argv[2], int(sys.argv[3]))], prefix=sys.argv[1]).send("work", {"m": "m" * 100_000})
    proxy.held.wait()
    eventually(is_reading)
    reader.kill(gevent.Timeout(1), block=False)
    gevent.idle()
    proxy.release()
    try:
        reader.get()
    except gevent.Timeout:
        pass
    else:
        assert False, "not interrupted"
    assert layer.receive(["work"]) == ("work", {"m": "m" * 100_000})
"""


def test_a_timeout_in_the_middle_of_a_reply_puts_its_message_back(redis_server, prefix):
    arguments = [prefix, redis_server.host, str(redis_server.port)]
    ended = subprocess.run(
        [sys.executable, "-c", IN_THE_MIDDLE, *arguments], capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 0, ended.stderr


COUNTING = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
import redis
from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually

prefix, host, port = sys.argv[1:]
layer = RedisChannelLayer(hosts=[(host, int(port))], prefix=prefix, stats_prefix=f"{prefix}-meta:")
client = redis.Redis(host=host, port=int(port))
client.zadd(f"{prefix}work", {f"expired {number}": number for number in range(50)})
readers = [gevent.spawn(layer.receive, ["work"]) for _ in range(5)]
readers += [gevent.spawn(layer.count, "work", "messages_retried") for _ in range(5)]
gevent.joinall(readers, raise_error=True)
layer.send("work", {})
assert layer.receive(["work"]) == ("work", {})
names = ["messages_expired", "messages_retried"]
for key in ("work", "#global#"):
    eventually(lambda: client.hmget(f"{prefix}-meta:{key}", names) == [b"50", b"5"])
"""


def test_what_greenlets_count_is_written(redis_server, prefix):
    arguments = [prefix, redis_server.host, str(redis_server.port)]
    ended = subprocess.run([sys.executable, "-c", COUNTING, *arguments], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
