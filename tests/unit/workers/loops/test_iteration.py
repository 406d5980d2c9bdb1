"""Asynchronous iterators, in code that is not."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from workers.loops import iteration
from workers.loops.iteration import iterate


async def numbers(count: int, log: list[Any], pause: float = 0) -> AsyncIterator[int]:
    try:
        for number in range(count):
            await asyncio.sleep(pause)
            log.append(number)
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")


def test_all_items_come_one_ahead(eventually: Callable[..., object]) -> None:
    log: list[Any] = []
    iterator = iterate(numbers(4, log), 10)
    assert next(iterator) == 0
    eventually(lambda: log == [0, 1])
    assert [*iterator] == [1, 2, 3]
    assert log == [0, 1, 2, 3, "closed"]


def test_leaving_early_closes_the_iterator() -> None:
    log: list[Any] = []
    iterator: Any = iterate(numbers(9, log), 10)
    next(iterator)
    iterator.close()
    assert log[-1] == "closed"
    assert len(log) <= 3


def test_leaving_it_while_it_waits_cancels_it() -> None:
    log: list[Any] = []
    iterator: Any = iterate(numbers(3, log, pause=600), 0.01)
    assert next(iterator) is None
    assert next(iterator) is None
    iterator.close()
    assert log == ["closed"]


def test_an_error_is_raised_after_the_items_before_it() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise KeyError("lost")

    iterator = iterate(failing(), 10)
    assert next(iterator) == 1
    with pytest.raises(KeyError, match="lost"):
        next(iterator)


def test_one_task_goes_through_it_in_the_callers_context() -> None:
    """So time limits and tasks of the iterator may span items."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("the caller's")

    async def own() -> AsyncIterator[Any]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        producer = asyncio.ensure_future(queue.put(1))
        yield asyncio.current_task(), variable.get()
        yield asyncio.current_task(), variable.get()
        yield await queue.get()
        await producer

    first, second, last = iterate(own(), 10)
    assert first == second
    assert (first[1], last) == ("the caller's", 1)


def test_several_threads_go_on_at_a_time() -> None:
    barrier = threading.Barrier(3)
    results: list[Any] = []

    def go() -> None:
        iterator = iterate(numbers(5, [], pause=0.01), 10)
        first = next(iterator)
        barrier.wait(10)
        results.append([first, *iterator])

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [[0, 1, 2, 3, 4]] * 3


def test_an_iterable_that_does_not_end_holds_no_slot(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(iteration, "END_SECONDS", 0.1)
    inside, go = threading.Event(), threading.Event()

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        while not go.is_set():
            inside.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    items: Any = iterate(stubborn(), 60)
    assert next(items) == 1
    assert inside.wait(10)
    items.close()
    go.set()
    assert "is left behind" in caplog.text
