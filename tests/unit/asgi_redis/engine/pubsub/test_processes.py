"""The layer in forked processes, under gevent, and when the interpreter ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.pubsub.subscribers import subscribed
from tests.support.waiting import eventually

FORK = """
import os, sys
from asgi_redis import RedisPubSubChannelLayer

layer = RedisPubSubChannelLayer(hosts=sys.argv[3:], prefix=sys.argv[1], cluster=sys.argv[2] == "cluster")
channel = layer.new_channel()
layer.group_add("chat", channel)
prefixes = {layer.client_prefix}
ready_read, ready_write = os.pipe()
pids = []
for who in range(3):
    pid = os.fork()
    if pid == 0:
        assert layer.client_prefix not in prefixes
        assert layer.group_channels("chat") == []
        try:
            layer.group_add("chat", channel)
        except RuntimeError:
            pass
        else:
            os._exit(1)
        mine = layer.new_channel()
        layer.group_add("chat", mine)
        os.write(ready_write, b".")
        received = layer.receive([mine], block=True)
        assert received == (mine, {"n": 1}), received
        layer.close()
        os._exit(0)
    pids.append(pid)
for _ in pids:
    os.read(ready_read, 1)
layer.send_group("chat", {"n": 1})
assert layer.receive([channel], block=True) == (channel, {"n": 1})
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0, "a child failed"
layer.send_group("chat", {"n": 2})
assert layer.receive([channel], block=True) == (channel, {"n": 2})
"""

INHERITED = """
import os, signal, sys
from asgi_redis import RedisPubSubChannelLayer

layer = RedisPubSubChannelLayer(hosts=sys.argv[3:], prefix=sys.argv[1], cluster=sys.argv[2] == "cluster")
layer.new_channel()
if os.fork() == 0:
    os.write(1, b"%d" % os.getpid())
    os.close(1)
    signal.pause()
os.kill(os.getpid(), signal.SIGKILL)
"""

GEVENT = """
from gevent import monkey
monkey.patch_all()
import random, sys
import gevent
from asgi_redis import RedisPubSubChannelLayer

cluster = sys.argv[2] == "cluster"
layer = RedisPubSubChannelLayer(hosts=sys.argv[3:], prefix=sys.argv[1], cluster=cluster, capacity=100000)
shared = layer.new_channel()
received, timeouts, done = [], [], []

def read():
    while not done:
        with gevent.Timeout(random.uniform(0.0005, 0.01)) as timeout:
            try:
                channel, message = layer.receive([shared], block=True)
            except gevent.Timeout as raised:
                assert raised is timeout
                timeouts.append(raised)
            else:
                received.append(message["n"])

def ping_pong(number):
    mine = layer.new_channel()
    layer.group_add(f"g{number}", mine)
    for turn in range(50):
        layer.send_group(f"g{number}", {"turn": turn})
        assert layer.receive([mine], block=True) == (mine, {"turn": turn})
    layer.close_channel(mine)

readers = [gevent.spawn(read) for _ in range(8)]
players = [gevent.spawn(ping_pong, number) for number in range(20)]
for number in range(1500):
    layer.send(shared, {"n": number})
    if number % 20 == 0:
        gevent.sleep(0.005)
gevent.joinall(players, raise_error=True)
with gevent.Timeout(10):
    while len(received) + len(layer.subscriptions.inboxes[shared].messages) < 1500:
        gevent.sleep(0.01)
done.append(True)
gevent.joinall(readers, raise_error=True)
received += [message["n"] for _, message in layer.receive_batch([shared], 10000)]
assert len(timeouts) > 20, len(timeouts)
assert sorted(received) == list(range(1500)), f"{len(received)} received, {len(set(received))} different"
layer.close()
"""

EXIT = """
import sys, threading
from asgi_redis import RedisPubSubChannelLayer

layer = RedisPubSubChannelLayer(hosts=sys.argv[3:], prefix=sys.argv[1], cluster=sys.argv[2] == "cluster")
channel = layer.new_channel()
threading.Thread(target=layer.receive, args=([channel], True), daemon=True).start()
"""


def run(program, *arguments):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture(params=["server", "shards", pytest.param("cluster", marks=pytest.mark.needs_redis(7, 0))])
def place(request, three_redis_servers, shared_masters):
    """The kind of place, and the URLs of its servers."""
    if request.param == "cluster":
        return [request.param, *shared_masters.urls]
    servers = three_redis_servers if request.param == "shards" else three_redis_servers[:1]
    return [request.param, *(server.url for server in servers)]


def test_a_forked_process_listens_for_itself_and_takes_nothing_from_its_parent(place, prefix):
    # Python 3.12 warns of forks while threads run, which this tests.
    program = f"import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n{FORK}"
    run(program, prefix, *place)


def test_a_forked_process_does_not_keep_the_connection_of_its_parent_open(redis_server, prefix):
    command = [sys.executable, "-W", "ignore", "-c", INHERITED, prefix, "server", redis_server.url]
    child = subprocess.run(command, stdout=subprocess.PIPE, timeout=20)
    try:
        eventually(lambda: subscribed(redis_server, prefix) == [])
    finally:
        subprocess.run(["kill", "-9", child.stdout.decode()], check=True)


def test_under_gevent_timeouts_at_any_moment_lose_nothing(place, prefix):
    pytest.importorskip("gevent")
    ended = subprocess.run([sys.executable, "-c", GEVENT, prefix, *place], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr


def test_the_end_of_the_interpreter_is_quiet_and_prompt(place, prefix):
    ended = run(EXIT, prefix, *place)
    assert ended.stdout + ended.stderr == ""
