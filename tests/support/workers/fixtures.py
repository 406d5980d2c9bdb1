"""A layer, the notes of worker processes, a consumer that is waited for, and what happens while a worker runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.workers.fakes import Consumer
from tests.support.workers.processes import Notes


@pytest.fixture
def notes(redis_server: RedisServer, prefix: str) -> Iterator[Notes]:
    """What the consumers in worker processes have noted."""
    notes = Notes(redis_server.url, f"{prefix}-notes")
    yield notes
    notes.client.close()


@pytest.fixture
def layer(redis_server: RedisServer, prefix: str) -> Iterator[RedisChannelLayer]:
    """The layer of those processes."""
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, capacity=10_000) as layer:
        yield layer


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    consumer = Consumer()
    yield consumer
    consumer.may_end.set()


@pytest.fixture
def during_run() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function in a thread while the test's main thread is in ``Worker.run``."""
    threads: list[threading.Thread] = []

    def during(script: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=script))
        threads[-1].start()

    yield during
    for thread in threads:
        thread.join()
