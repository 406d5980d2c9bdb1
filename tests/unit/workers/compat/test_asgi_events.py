"""ASGI applications that are given the messages of channels, by a dispatcher in this process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("asgiref")

from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async

from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from workers.compat.asgi_events import ChannelEvents
from workers.compat.channels4 import consumers_of
from workers.exceptions import ConfigurationError
from workers.runtime.dispatcher import Dispatcher


class Router:
    """What Channels' routers look like from outside."""

    def __init__(self, **application_mapping: Any) -> None:
        self.application_mapping = application_mapping

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.application_mapping[scope.get("channel", "channel")](scope, receive, send)


@contextlib.contextmanager
def serving(application: Any, *channels: str) -> Iterator[Dispatcher]:
    names = channels or ["c"]
    events = ChannelEvents(application, names, consumers_of(application, names))
    yield Dispatcher(events.router, FakeLayer(), None)
    events.close()


def test_an_instance_gets_one_message_after_the_other() -> None:
    received: list[tuple[int, int]] = []
    made = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal made
        assert scope == {"type": "channel", "channel": "c"}
        made += 1
        number = made
        while True:
            received.append((number, (await receive())["n"]))

    with serving(application) as dispatcher:
        for n in range(3):
            dispatcher.dispatch("c", {"type": "t", "n": n})
        assert received == [(1, 0), (1, 1), (1, 2)]
        assert dispatcher.failed == 0


def test_a_message_is_done_when_the_next_one_is_asked_for() -> None:
    steps: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.05)
        steps.append("worked")
        await receive()

    with serving(application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
        steps.append("done")
        assert steps == ["worked", "done"]


def test_messages_at_once_have_an_instance_each_which_work_side_by_side() -> None:
    meet = threading.Barrier(3)
    made: list[object] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        made.append(scope)
        while True:
            await receive()
            await sync_to_async(meet.wait)(10)

    with serving(application) as dispatcher:
        for _ in range(2):
            threads = [threading.Thread(target=dispatcher.dispatch, args=("c", {"type": "t"})) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        assert (dispatcher.done, dispatcher.failed) == (6, 0)
    assert len(made) == 3


def test_synchronous_code_runs_in_the_thread_of_the_message_also_within_itself() -> None:
    idents: list[int] = []

    def inner() -> None:
        idents.append(threading.get_ident())

    def outer() -> None:
        inner()
        async_to_sync(sync_to_async(inner))()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await sync_to_async(outer)()
        await asyncio.create_task(sync_to_async(inner)())
        await receive()

    with serving(application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
    assert idents == [threading.get_ident()] * 3


def test_synchronous_code_between_messages_runs_elsewhere() -> None:
    idents: list[int] = []
    go = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        while not go.is_set():
            await asyncio.sleep(0.01)
        await sync_to_async(lambda: idents.append(threading.get_ident()))()
        await waiting

    with serving(application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
        go.set()
        (ident,) = eventually(lambda: idents)
        assert ident != threading.get_ident()
        dispatcher.dispatch("c", {"type": "t"})
        assert dispatcher.failed == 0


def test_an_instance_that_has_ended_between_messages_costs_none(caplog: pytest.LogCaptureFixture) -> None:
    made = []
    end = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        made.append(scope)
        await receive()
        waiting = asyncio.ensure_future(receive())
        while not end.is_set():
            await asyncio.sleep(0.001)
        waiting.cancel()
        raise LookupError("between")

    with serving(application) as dispatcher:
        for n in range(1, 4):
            end.clear()
            dispatcher.dispatch("c", {"type": "t"})
            end.set()
            eventually(lambda n=n: caplog.text.count("LookupError: between") == n)
        assert (dispatcher.done, dispatcher.failed) == (3, 0)
    assert len(made) == 3
    assert caplog.text.count("The consumer of channel 'c' has ended between two messages") == 3


def test_a_message_that_meets_the_end_of_its_instance_goes_to_a_new_one() -> None:
    """The instance is in the middle of its end, in the loop, when the message is given to it."""
    made: list[object] = []
    ending, given = threading.Event(), threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        made.append(scope)
        await receive()
        if len(made) == 1:
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
            ending.set()
            given.wait(10)  # holds up the loop
            return
        await receive()

    with serving(application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
        assert ending.wait(10)
        second = threading.Thread(target=dispatcher.dispatch, args=("c", {"type": "t"}))
        second.start()
        eventually(lambda: len(dispatcher.running()) == 1)
        given.set()
        second.join(10)
        assert (dispatcher.done, dispatcher.failed) == (2, 0)
    assert len(made) == 2


def test_an_application_that_never_receives_fails_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        pass

    with serving(application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
        assert (dispatcher.done, dispatcher.failed) == (1, 1)
    assert "the application has ended without receiving the message" in caplog.text


def test_instances_that_have_ended_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # a captured record would keep the traceback

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await sync_to_async(int)()
        raise ValueError

    before = len(SyncToAsync.context_to_thread_executor)
    with serving(application) as dispatcher:
        for _ in range(20):
            dispatcher.dispatch("c", {"type": "t"})
        gc.collect()
        assert len(SyncToAsync.context_to_thread_executor) <= before + 1  # the last one may still be ending


def test_applications_of_asgi_2_are_taken() -> None:
    received = []

    class Application:
        def __init__(self, scope: Any) -> None:
            pass

        async def __call__(self, receive: Any, send: Any) -> None:
            received.append(await receive())

    with serving(Application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
    assert received == [{"type": "t"}]


def test_exit_raised_in_a_task_of_a_consumer_ends_that_task_only(caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        raise SystemExit

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        task = asyncio.ensure_future(leave())
        await receive()
        assert isinstance(task.exception(), SystemExit)
        await receive()

    with caplog.at_level(logging.ERROR), serving(application) as dispatcher:
        for _ in range(2):
            dispatcher.dispatch("c", {"type": "t"})
        assert dispatcher.failed == 0
    assert "Error in a task that a consumer started" in caplog.text


def test_closing_cancels_the_instances_and_waits_for_them() -> None:
    ends: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            await receive()
        finally:
            await asyncio.sleep(0.05)
            ends.append(asyncio.get_running_loop().__class__.__name__)

    with serving(application) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
        assert ends == []
    assert len(ends) == 1


def test_consumers_are_named_in_the_log_by_their_class(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ValueError("failed")

    class Consumer:
        pass

    fail.consumer_class = Consumer  # type: ignore[attr-defined]  # as Channels' as_asgi() has it
    with serving(Router(channel=Router(c=fail))) as dispatcher:
        dispatcher.dispatch("c", {"type": "t"})
    assert f"Error in consumer {__name__}.{Consumer.__qualname__} with a message on channel 'c'" in caplog.text


def test_channels_that_the_routers_do_not_know_are_refused() -> None:
    known = Router(channel=Router(a=None, b=None))
    with pytest.raises(ConfigurationError, match="'c' in the application's ChannelNameRouter; it has a, b"):
        consumers_of(known, ["c"])
    with pytest.raises(ConfigurationError, match='has no "channel"'):
        consumers_of(Router(http=None), ["c"])
