"""A signal handler that forks in the middle of a call: the child uses the layer, and returns into the call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_redis
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture

pytestmark = pytest.mark.native("signals and forks")

ROOT = Path(asgi_redis.__file__).parent.parent
MESSAGES, FORKS = 600, 10
# With a child that returns into a receive, which is refused there, a message may go that it has taken meanwhile: the
# store cannot tell, in the microseconds before its transaction begins.
MAY_GO = {"redis": 0, "memory": 0, "ipc": 3}

PROGRAM = """
import json, os, signal, sys, threading, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
from tests.support.forks.preloaded import LAYERS

kind, mode, messages, most_forks = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
layer = LAYERS[kind]
layer.block_timeout = 0.05
reading, writing = os.pipe()
got, errors, forks, child = [], [], 0, False

def in_use():
    own = f"own.{layer.client_prefix}!"
    layer.send(f"{own}a", {"pid": os.getpid()})
    assert layer.receive([own]) == (f"{own}a", {"pid": os.getpid()})

def handler(*_):
    global forks, child, got
    if child or forks == most_forks:
        return
    forks += 1
    if os.fork():
        signal.setitimer(signal.ITIMER_REAL, 0.004)
        return
    child, got = True, []
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(30)
    in_use()

def receive():
    try:
        channel, message = layer.receive(["work"], block=mode == "waiting")
    except Exception as error:
        if not child:
            raise
        errors.append(type(error).__name__)
    else:
        if message is not None:
            got.append(message["n"])

def fill():
    for n in range(messages):
        layer.send("work", {"n": n})
        if mode == "waiting" and n % 4 == 0:
            time.sleep(0.002)

sender = threading.Thread(target=fill)
sender.start()
if mode != "waiting":
    sender.join()
in_use()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.004)
try:
    while not child and (forks < most_forks or sender.is_alive()):
        receive()
    if child:
        in_use()
except BaseException:
    if not child:
        raise
    errors.append(traceback.format_exc())
if child:
    os.write(writing, json.dumps([got, errors]).encode() + b"\\n")
    os._exit(0)
signal.setitimer(signal.ITIMER_REAL, 0)
os.close(writing)
sender.join()
in_use()
while (message := layer.receive(["work"])[1]) is not None:
    got.append(message["n"])
with os.fdopen(reading) as said:
    children = [json.loads(line) for line in said]
for _ in range(forks):
    os.wait()
sys.stdout.write(json.dumps({"parent": got, "children": children}))
"""


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        pytest.param("redis", "looking", marks=pytest.mark.soak),
        ("redis", "waiting"),
        ("ipc", "looking"),
        pytest.param("ipc", "waiting", marks=pytest.mark.soak),
        pytest.param("memory", "looking", marks=pytest.mark.soak),
        pytest.param("memory", "waiting", marks=pytest.mark.soak),
    ],
)
def test_no_message_is_had_twice_and_none_is_lost(kind, mode, redis_server, prefix, base):  # noqa: F811
    environment = {
        **os.environ,
        "REDIS_URLS": redis_server.url,
        "PREFIX": prefix,
        "IPC_PATH": str(base),
        "KINDS": kind,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", PROGRAM, kind, mode, str(MESSAGES), str(FORKS)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=80)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert len(found["children"]) == FORKS
    assert [error for _, errors in found["children"] for error in errors if "Traceback" in error] == []
    had = [*found["parent"], *[n for got, _ in found["children"] for n in got]]
    assert len(had) == len(set(had)), "a message was had twice"
    assert len(had) >= MESSAGES - MAY_GO[kind], "messages were lost"
    assert set(had) <= set(range(MESSAGES))
