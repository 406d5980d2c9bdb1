"""Fixtures for a project of Channels 4 and its workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.workers.processes import Notes, WorkerProcess
from tests.unit.workers.compat.channels4 import Run

collect_ignore = ["manage.py", "settings.py", "asgi.py", "consumers.py"]

MANAGE = [sys.executable, str(Path(__file__).parent / "manage.py"), "runworker"]


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("channels_redis.core", exc_type=ImportError)


@pytest.fixture(params=[pytest.param("thread", marks=pytest.mark.soak), "gevent"])
def pool(request: pytest.FixtureRequest) -> list[str]:
    """The flags for either pool."""
    if request.param == "gevent":
        pytest.importorskip("gevent")
    return ["--pool", request.param]


@pytest.fixture
def notes(redis_server: RedisServer, prefix: str) -> Iterator[Notes]:
    """What the consumers have noted; ``notes.env`` is the environment of the project."""
    notes = Notes(redis_server.url, f"{prefix}-notes")
    notes.env.update(
        TEST_LAYER_URL=redis_server.url,
        TEST_PREFIX=prefix,
        DJANGO_SETTINGS_MODULE="tests.unit.workers.compat.channels4.settings",
    )
    yield notes
    notes.client.close()


@pytest.fixture
def layer(redis_server: RedisServer, prefix: str) -> Iterator[RedisChannelLayer]:
    """The layer that the project has."""
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, capacity=1000) as layer:
        yield layer


@pytest.fixture
def run(notes: Notes, tmp_path: Path) -> Run:
    """``run(*flags, command=MANAGE, **environment)`` starts a worker of the project."""

    def run(*flags: str, command: list[str] = MANAGE, **environment: str) -> WorkerProcess:
        return WorkerProcess([*command, *flags], tmp_path, cwd=tmp_path, env={**notes.env, **environment})

    return run
