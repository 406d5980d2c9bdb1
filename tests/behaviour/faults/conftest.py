"""Real workers of either pool, at a server of the test's own. Their notes are in another, which no fault touches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.faults.load import SLOTS
from tests.support.workers.processes import MODULE, Notes, WorkerProcess


@pytest.fixture(params=["thread", pytest.param("gevent", marks=pytest.mark.soak)])
def pool(request):
    if request.param == "gevent":
        pytest.importorskip("gevent")
    return request.param


@pytest.fixture
def server(fresh_redis_server):
    """The one that is at fault."""
    return fresh_redis_server


@pytest.fixture
def notes(redis_server, prefix) -> Iterator[Notes]:
    notes = Notes(redis_server.url, f"{prefix}-notes")
    yield notes
    notes.client.close()


@pytest.fixture
def layer(server, prefix):
    with RedisChannelLayer(hosts=[server.url], prefix=prefix, capacity=100_000) as layer:
        yield layer


@pytest.fixture
def start(server, prefix, notes, tmp_path, pool):
    """Starts a worker in the pool, with ``SLOTS`` slots by default, and returns it when it listens."""
    with contextlib.ExitStack() as stack:

        def start(
            *flags: str,
            url: str = server.url,
            slots: int = SLOTS,
            routing: str = "tests.support.workers.consumers.routing",
        ) -> WorkerProcess:
            command = [*MODULE, "--layer-url", url, "--prefix", prefix, "--routing", routing]
            command += ["--pool", pool, "--concurrency", str(slots), *flags]
            worker = stack.enter_context(WorkerProcess(command, tmp_path, env=notes.env))
            worker.listens()
            return worker

        yield start
