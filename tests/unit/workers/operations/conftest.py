from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_redis.embedded import RedisServer
from tests.support.workers.processes import MODULE, Notes, WorkerProcess

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(redis_server: RedisServer, prefix: str, notes: Notes, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker without Django: ``start(*flags, server=..., **env)``."""
    started: list[WorkerProcess] = []

    def start(*flags: str, server: RedisServer = redis_server, **env: str) -> WorkerProcess:
        connection = ["--layer-url", server.url, "--prefix", prefix]
        routing = [] if "--routing" in flags else ["--routing", "tests.support.workers.operations.routing"]
        command = [*MODULE, *connection, *routing, *flags]
        started.append(WorkerProcess(command, tmp_path, cwd=tmp_path, env={**notes.env, **env}))
        return started[-1]

    yield start
    for worker in started:
        worker.__exit__()
