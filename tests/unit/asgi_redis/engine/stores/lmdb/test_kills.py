"""A process may be killed at any moment: nothing is damaged or blocked, and no message comes twice."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stores.killing import BATCH
from tests.support.stores.lmdb_stores import ROOT, pop, push, run
from tests.support.waiting import eventually


def killing(base, what, kills):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.stores.killing", str(base), what, str(kills)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


each_number_of_kills = pytest.mark.parametrize(
    "kills", [50, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)


@each_number_of_kills
def test_under_load(base, kills):
    """
    Of what a killed receiver had taken, only what it had not written down is lost; of a killed sender's messages
    at most the last was sent without its knowing.
    """
    seen = killing(base, "load", kills)
    assert sum(seen["killed"].values()) == kills
    assert seen["acknowledged"] > kills
    assert seen["twice"] == 0
    assert seen["disorder"] == 0
    assert seen["lost"] <= BATCH * seen["killed"].get("receiver", 0)
    assert seen["received_unacknowledged"] <= seen["killed"].get("sender", 0)
    assert seen["known"] <= seen["sent"] <= seen["known"] + seen["killed"].get("sender", 0)
    assert seen["pending"] == 0
    assert seen["slow"] == []


@each_number_of_kills
def test_a_receiver_is_awake_while_a_message_waits(base, kills):
    """One message goes around among processes that wait for it; one after the other is killed."""
    seen = killing(base, "token", kills)
    assert seen["killed"] == {"token_holder": kills}
    assert seen["asleep"] == 0
    assert seen["passed"] > kills
    assert seen["injected"] < kills / 2  # the other processes passed on the rest


HOLDER = """
import lmdb, mmap, os, pathlib, signal, struct, sys
directory = pathlib.Path(sys.argv[1])
size = (directory / "data.mdb").stat().st_size
with lmdb.open(str(directory), map_size=size, writemap=True, sync=False).begin(write=True):
    print("holds it", flush=True)
    sys.stdin.readline()
    with (directory / "lock.mdb").open("r+b") as file:
        locks = mmap.mmap(file.fileno(), 256)
        words = enumerate(struct.unpack("<64I", locks[:]))
        lock = next(number for number, word in words if word & 0x3FFFFFFF == os.getpid())
        locks[4 * lock : 4 * lock + 4] = bytes(4)  # gives it up without waking a sleeper
        os.kill(os.getpid(), signal.SIGKILL)
"""

SLEEPER = """
import pathlib, sys
from asgi_redis.engine.stores.lmdb.store import LMDBStore
LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20).push([("a", "a", b"slept", 10)], 60)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="needs the number of a system call")
def test_a_sleeper_for_a_free_lock_is_woken(store, directory, clock):
    """A process that was killed while it gave the lock up has woken no sleeper, and its next holder knew of none."""
    push(store, b"first")
    holder = run(HOLDER, directory, wait=False)
    assert holder.stdout.readline() == "holds it\n"
    sleeper = run(SLEEPER, directory, wait=False)
    try:
        eventually(lambda: "futex" in Path(f"/proc/{sleeper.pid}/wchan").read_text())
        holder.communicate("give it up\n", timeout=20)
        assert holder.returncode == -signal.SIGKILL
        clock.now += 1  # who works with the store looks after sleepers once a second
        push(store, b"second")
        sleeper.communicate(timeout=20)
        assert sleeper.returncode == 0
    finally:
        holder.kill()
        sleeper.kill()
    assert pop(store) == [b"first", b"second", b"slept"]
