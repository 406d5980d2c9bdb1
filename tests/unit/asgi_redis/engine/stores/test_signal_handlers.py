"""A signal handler may use a layer whose call it has interrupted: that works, or is an error, and never blocks."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import collections, random, signal, sys, time
from asgi_redis import InMemoryChannelLayer, IPCChannelLayer
from asgi_redis.exceptions import UnsafeSignalHandler

kind, path = sys.argv[1:]
layer = IPCChannelLayer(path=path, capacity=10**6) if kind == "ipc" else InMemoryChannelLayer(capacity=10**6)
outcomes = collections.Counter()

def handle(number, frame):
    try:
        layer.send("handled", {})
        layer.unblock()
    except UnsafeSignalHandler:
        outcomes["refused"] += 1
    else:
        outcomes["sent"] += 1
    if not enough():
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.0005))

def enough():
    return outcomes["sent"] > 20 and outcomes["refused"] > 8

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001)
sent = received = 0
while not enough():
    layer.send("work", {})
    sent += 1
    received += len(layer.receive_batch(["work"], 1, 0.01))
received += len(layer.receive_batch(["work"], sent))
assert received == sent, (received, sent)
assert layer.channel_statistics("handled")["messages_pending"] == outcomes["sent"]
print("fine")
"""


@pytest.mark.parametrize("kind", ["ipc", "memory"])
def test_it_works_or_is_refused(kind, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(tmp_path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.stdout == "fine\n", ended.stderr
