"""Where the pools of the tests fetch their jobs from."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from workers.runtime.pool import Job, Pool


class Source:
    """Where a pool fetches its jobs from; notes how many slots were free each time, and whether all were."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.fetching = 0
        self.fetcher = threading.current_thread()
        self.ended: list[BaseException | None] = []
        self.fail_with: BaseException | None = None
        self._jobs: deque[Job] = deque()
        self._quieted = False
        self._changed = threading.Condition()

    def put(self, *jobs: Any) -> None:
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify_all()

    def quiet(self) -> None:
        with self._changed:
            self._quieted = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self.fail_with = error
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._jobs)

    def fetch(self, slots: int, idle: bool) -> list[Job] | None:
        with self._changed:
            self.fetching += 1
            assert self.fetching == 1  # one at a time
            try:
                self.fetcher = threading.current_thread()
                self.asked.append((slots, idle))
                self._changed.wait_for(lambda: self._jobs or self._quieted or self.fail_with, 0.5)
                if self.fail_with is not None:
                    error, self.fail_with = self.fail_with, None
                    raise error
                if self._jobs:
                    return [self._jobs.popleft() for _ in range(min(slots, len(self._jobs)))]
                return None if self._quieted else []
            finally:
                self.fetching -= 1


@pytest.fixture(name="source")
def job_source() -> Source:
    return Source()


@pytest.fixture(name="pool")
def pool_of_three(source: Source) -> Iterator[Pool]:
    pool = Pool(3)
    pool.start(source.fetch, source.ended.append)
    yield pool
    source.quiet()
    assert pool.stop(time.monotonic() + 5)
