"""Layers that were made and used before a fork, also one in C, which Python knows nothing of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_redis
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture

ROOT = Path(asgi_redis.__file__).parent.parent
SHARING = ["redis", "local", "ipc", "django", "aio-redis", "aio-ipc"]
KINDS = [*SHARING, "memory", "pubsub", "aio-pubsub"]

# uWSGI forks like the second.
FORKS = {"os": "os.fork", "c": "ctypes.PyDLL(None).fork"}

START = """
import ctypes, json, os, signal, sys, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
from tests.support.forks.preloaded import *

fork = {fork}

def in_child(work):
    reading, writing = os.pipe()
    pid = fork()
    if not pid:
        signal.alarm(30)
        status = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    return pid, reading

def result_of(child):
    pid, reading = child
    with os.fdopen(reading) as said:
        result = said.read()
    assert os.waitpid(pid, 0)[1] == 0, "a child has failed"
    return json.loads(result)

def use_all(who, rounds):
    return {kind: use(kind, who, rounds) for kind in LAYERS}
"""


@pytest.fixture
def run(redis_server, prefix, base):  # noqa: F811
    def run(fork, program, kinds=KINDS):
        ended = subprocess.run(
            [sys.executable, "-c", START.replace("{fork}", FORKS[fork]) + program],
            env={
                **os.environ,
                "REDIS_URLS": redis_server.url,
                "PREFIX": prefix,
                "IPC_PATH": str(base),
                "KINDS": " ".join(kinds),
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


SIDE_BY_SIDE = """
# A fork in C beside threads that wait for the interpreter's lock may leave a child without that lock. So those layers
# that start threads are used by the parent after such forks only.
used = [kind for kind in LAYERS if fork is os.fork or not ("aio" in kind or "pubsub" in kind)]
for kind in used:
    use(kind, "parent", 5)
prefixes = {kind: LAYERS[kind].client_prefix for kind in LAYERS}
children = [in_child(lambda: use_all(f"child{number}", 20)) for number in range(3)]
assert use_all("parent", 20) == prefixes
prefixes = [prefixes, *map(result_of, children)]
print(json.dumps({"prefixes": prefixes, "used": used,
    "sent": {kind: sent_of(kind) for kind in LAYERS if "pubsub" not in kind}}))
"""


@pytest.mark.parametrize("fork", FORKS)
def test_processes_side_by_side_have_connections_and_names_of_their_own(run, fork):
    found = run(fork, SIDE_BY_SIDE)
    for kind in KINDS:
        assert len({prefixes[kind] for prefixes in found["prefixes"]}) == 4, kind
    for kind in SHARING:
        before = range(5) if kind in found["used"] else ()
        assert sorted(found["sent"][kind]) == sorted([*before, *list(range(20)) * 4]), f"{kind}: lost or merged"


FIRST_CALLS = {
    "client_prefix": "layer.client_prefix",
    "serialize": "layer.serialize({}).hex()",
    "new_channel": "layer.new_channel('reply?')",
    "send": "layer.send('shared', {})",
    "receive": "layer.receive(['nothing'])",
    "a receive that waits": "layer.receive_batch(['nothing'], 2, 0.01)",
    "reader": "reader.receive_batch(['nothing'], 1, 0.01)",
    "reader.unblock": "reader.unblock()",
    "unblock": "layer.unblock()",
    "group_add": "layer.group_add('first', 'a')",
    "group_discard": "layer.group_discard('first', 'a')",
    "group_channels": "layer.group_channels('first')",
    "send_group": "layer.send_group('first', {})",
    "channel_statistics": "layer.channel_statistics('shared')",
    "global_statistics": "layer.global_statistics()",
    "delayed.send": "layer.delayed.send('shared', {}, 60)",
    "delayed.deliver": "layer.delayed.deliver()",
    "flush": "layer.flush()",
    "close": "layer.close()",
}

FIRST_CALL = """
calls, found = %s, {}

def sockets():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass  # that of the list
    return {name for name in found if name.startswith("socket")}

for kind, layer in LAYERS.items():
    reader = layer.reader()
    use(kind, "parent", 2)
    layer.group_add("first", "a")
    reader.receive_batch(["nothing"], 1)
    found[kind] = {"parent": [None, 0, layer.client_prefix]}
    inherited = sockets()
    assert inherited or kind == "memory"
    for name, call in calls.items():
        if "delayed" not in name or layer.delayed is not None:
            found[kind][name] = result_of(in_child(lambda: [
                repr(eval(call)), len(inherited & sockets()), layer.client_prefix, use(kind, "child", 2)]))
print(json.dumps(found))
"""


def test_whatever_a_forked_process_calls_first_works(run):
    kinds = ["redis", "local", "ipc", "memory"]
    found = run("c", FIRST_CALL % json.dumps(FIRST_CALLS), kinds)
    assert list(found) == kinds
    for kind in kinds:
        calls = found[kind]
        assert len({prefix for _, _, prefix, *_ in calls.values()}) == len(calls), kind
        # A new name, and what ends a wait where nothing waits, need nothing that is the process's own.
        needs_nothing = ("new_channel", "reader.unblock")
        left_open = {name: left for name, (_, left, *_) in calls.items() if left and name not in needs_nothing}
        assert left_open == {}, kind
        assert calls["client_prefix"][0] == repr(calls["client_prefix"][2])


SALTS = """
layer = LAYERS["redis"]
first = [result_of(in_child(lambda: layer.serialize({}).hex())) for _ in range(3)]
standing_alone = [result_of(in_child(lambda: layer._serializer.serialize({}).hex())) for _ in range(3)]
print(json.dumps(first + standing_alone + [layer.serialize({}).hex()]))
"""


def test_entries_of_equal_messages_differ_between_processes(run):
    assert len(set(run("c", SALTS, ["redis"]))) == 7


THREADS = """
stop = threading.Event()

def hammer(kind):
    while not stop.is_set():
        use(kind, f"thread.{kind}", 1)

threads = [threading.Thread(target=hammer, args=[kind], daemon=True) for kind in LAYERS]
for thread in threads:
    thread.start()
found = [result_of(in_child(lambda: use_all(f"child{number}", 1))) for number in range(8)]
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""


def test_locks_that_other_threads_of_the_parent_hold_are_free_in_the_child(run):
    found = run("os", THREADS)
    for kind in KINDS:
        assert len({prefixes[kind] for prefixes in found}) == 8
