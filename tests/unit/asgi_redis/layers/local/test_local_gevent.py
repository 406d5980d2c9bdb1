"""Receiving from both under gevent: a gevent.Timeout may come at any moment, and nothing is lost by it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

ROOT = Path(__file__).parents[5]

# Timeouts of about the length of a round trip: they hit every place where a greenlet switches.
INTERRUPTED = """
from gevent import monkey
monkey.patch_all()
import random, sys, time
import gevent
from asgi_redis import RedisLocalChannelLayer

layer = RedisLocalChannelLayer(hosts=[sys.argv[1]], prefix=sys.argv[2], capacity=100000, local_layer={
    "BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": sys.argv[3]}})
received, timeouts, done = [], [], []

def read():
    while not done:
        with gevent.Timeout(random.uniform(0.0005, 0.01)) as timeout:
            try:
                batch = layer.receive_batch(["work", "work!"], 1, 0.2)
            except gevent.Timeout as raised:
                assert raised is timeout
                timeouts.append(raised)
            else:
                received.extend((channel, message["n"]) for channel, message in batch)

readers = [gevent.spawn(read) for _ in range(8)]
for number in range(700):
    layer.send("work", {"n": number})
    layer.send("work!1", {"n": number})
    if number % 20 == 0:
        gevent.sleep(0.005)
done.append(True)
gevent.joinall(readers, raise_error=True)
expected = sorted((channel, number) for channel in ("work", "work!1") for number in range(700))

def take(seconds):
    batch = layer.receive_batch(["work", "work!"], 1000, seconds)
    received.extend((channel, message["n"]) for channel, message in batch)

until = time.monotonic() + 10  # a Redis that was slow may have left a message to a greenlet that puts it back
while len(received) < len(expected) and time.monotonic() < until:
    take(0.5)
take(0)
assert len(timeouts) > 50, len(timeouts)
missing = sorted(set(expected) - set(received))
assert sorted(received) == expected, f"{missing} missing of {len(received)} received"
"""


# While Redis is away counts wait to be written, and a thread is started for that again and again.
AWAY = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from asgi_redis import RedisLocalChannelLayer

layer = RedisLocalChannelLayer(hosts=[sys.argv[1]], local_layer={
    "BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": sys.argv[2]}})
layer.count("remote!1", "messages_requeued")
sent, received = 0, []

def work():
    began = time.monotonic()
    while time.monotonic() < began + 0.0003:
        pass

until = time.monotonic() + 3.5  # the counts are written a second after they were noted, and then every second
while time.monotonic() < until:
    layer.send("work", {"n": sent})
    sent += 1
    for _ in range(100):  # gevent looks at the time after 50 of them
        gevent.spawn(work)
    with gevent.Timeout(0, False):  # it comes before any switch to another greenlet has ended
        received += [message["n"] for _, message in layer.receive_batch(["work"], 1)]
    gevent.sleep(0.05)  # the writing goes on
while batch := layer.receive_batch(["work"], 1000):
    received += [message["n"] for _, message in batch]
assert sent > 10, sent
assert received == list(range(sent)), f"{sorted(set(range(sent)) - set(received))} of {sent} are lost"
"""


def test_no_local_message_is_lost_by_a_timeout_while_counts_wait_for_redis(base):
    with socket.socket() as nobody:  # it listens to no one: whoever connects is refused
        nobody.bind(("127.0.0.1", 0))
        command = [sys.executable, "-c", AWAY, f"redis://127.0.0.1:{nobody.getsockname()[1]}/0", str(base)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_a_timeout_of_gevent_that_ends_a_wait_for_both_loses_nothing(redis_server, prefix, base):
    command = [sys.executable, "-c", INTERRUPTED, redis_server.url, prefix, str(base)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
