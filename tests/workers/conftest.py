"""A consumer that is waited for, and what happens while a worker runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.workers.fakes import Consumer


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
