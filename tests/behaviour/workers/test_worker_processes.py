"""Errors in what is beside the consumers, in worker processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, ROOT, Notes, WorkerProcess
from workers.runtime.stopping import ExitCode

ROUTING = """
import logging, os
from tests.support.workers.consumers import note, work
from workers import Channel, route
from workers.signals import consumer_started, consumer_finished, worker_ready

fault = False

def strike(message):
    global fault
    fault = True
    Channel("answers").send({"n": message["n"]})

def receiver(**named):
    if fault:
        raise SystemExit("struck")

class Handler(logging.Handler):
    def emit(self, record):
        if fault:
            raise ValueError("struck")

def log(**named):
    if fault:
        logging.getLogger("workers.runtime.pool").error("something to say")

where = os.environ["TEST_FAULT"]
if where == "handler":
    logging.getLogger("workers").addHandler(Handler())
    consumer_finished.connect(log)
else:
    consumer_started.connect(receiver)
    consumer_finished.connect(receiver)
routing = [route("work", work), route("strike", strike)]
"""


@pytest.mark.parametrize(
    ("where", "pool"),
    [
        ("receiver", "gevent"),
        ("handler", "thread"),
        pytest.param("receiver", "thread", marks=pytest.mark.soak),
        pytest.param("handler", "gevent", marks=pytest.mark.soak),
    ],
)
def test_a_process_finishes_what_runs_and_ends_with_4(
    where: str, pool: str, notes: Notes, layer: RedisChannelLayer, redis_server: Any, prefix: str, tmp_path: Path
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    (tmp_path / "struck.py").write_text(ROUTING)
    command = [*MODULE, "--layer-url", redis_server.url, "--prefix", prefix, "--routing", "struck.routing"]
    env = {**notes.env, "TEST_FAULT": where, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    with WorkerProcess([*command, "--pool", pool, "--concurrency", "2"], tmp_path, env=env) as worker:
        layer.send("work", {"n": 1, "seconds": 0.5})
        eventually(lambda: notes["started"] == ["1"], timeout=20)
        layer.send("strike", {"n": 2})
        assert worker.wait() == ExitCode.FAILED, worker.log
        assert notes["done"] == ["1"]
        assert "struck" in worker.log
        # Where the project has a handler of its own, the worker adds none.
        assert ("something to say" if where == "handler" else "2 messages done, 0 of them failed") in worker.log
    assert layer.receive(["answers"])[1] == {"n": 2}
