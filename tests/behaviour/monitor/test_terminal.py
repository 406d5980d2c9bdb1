"""The terminal's view of a site: a real worker, its consumers, what waits, and where it is stuck."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.terminal import Terminal
from tests.support.waiting import eventually
from tests.support.workers.fixtures import notes  # noqa: F401  a fixture
from tests.support.workers.processes import MODULE, Notes, WorkerProcess

pytestmark = pytest.mark.native("processes with pools of their own")


@pytest.fixture
def layer(fresh_redis_server):
    with RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer:
        yield layer


@pytest.fixture
def worker(fresh_redis_server, notes: Notes, tmp_path: Path):  # noqa: F811
    """A worker with one thread, which an eternal consumer keeps busy until ``notes.go()``."""
    flags = ["--layer-url", fresh_redis_server.url, "--routing", "tests.support.workers.consumers.routing"]
    with WorkerProcess([*MODULE, *flags, "--only-channels", "hold"], tmp_path, env=notes.env) as process:
        process.listens()
        yield process


def command(server, *words):
    program = [sys.executable, "-m", "asgi_redis", *words, "--url", server.url]
    return json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


def test_what_a_worker_does_and_what_waits_for_it(fresh_redis_server, layer, worker, notes):  # noqa: F811
    for number in range(3):
        layer.send("hold", {"n": number})
    layer.send("forgotten", {})
    eventually(lambda: notes["started"] == ["0"])
    monitor = [sys.executable, "-m", "asgi_redis", "monitor", "--interval", "0.3", "--url", fresh_redis_server.url]
    with Terminal(monitor, 120, 30) as terminal:
        terminal.shows("workers 1 (1 of 1 slots busy)")
        lines = {line.split()[0]: line for line in terminal.shows("forgotten").splitlines() if line}
        assert "no reader" in lines["forgotten"]
        assert "no reader" not in lines["hold"]
        eventually(lambda: any(line.startswith("hold ") and "unread" in line for line in terminal.lines))
        terminal.press("3")
        terminal.shows(" hold tests.support.workers.consumers.hold")
        notes.go()
        terminal.shows("(0 of 1 slots busy)")
        terminal.press("1")
        eventually(lambda: any(line.split()[:2] == ["hold", "0"] for line in terminal.lines))
        worker.stop()
        terminal.shows("workers 0")


def test_a_script_finds_the_worker_and_its_consumer(fresh_redis_server, layer, worker, notes):  # noqa: F811
    layer.send("hold", {"n": 1})
    eventually(lambda: notes["started"])
    (entry,) = eventually(lambda: [one for one in command(fresh_redis_server, "workers", "--json") if one["running"]])
    assert (entry["role"], entry["pid"], entry["slots"], entry["busy"]) == ("worker", worker.pid, 1, 1)
    assert entry["channels"] == ["hold"]
    assert (entry["running"][0]["channel"], entry["running"][0]["seconds"] > 0) == ("hold", True)
    (row,) = command(fresh_redis_server, "channels", "hold", "--json")
    assert row["readers"] == 1
    notes.go()
