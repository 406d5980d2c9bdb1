"""One message does not touch the next: each runs in a context of its own."""

from __future__ import annotations

import contextvars
import threading
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from tests.support.workers.processes import MODULE, Notes, WorkerProcess
from workers import route
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher
from workers.signals import consumer_finished, consumer_started

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
scope: contextvars.ContextVar[list[str]] = contextvars.ContextVar("scope")


def dispatch(consumer: Any) -> None:
    dispatcher = Dispatcher(Router([route("c", consumer)]), FakeLayer(), None)
    dispatcher.dispatch("c", {})
    assert not dispatcher.failed


def in_thread(function: Any) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_variable_that_a_consumer_sets_ends_with_its_message() -> None:
    seen: list[str] = []

    def plain(message: Any) -> None:
        seen.append(variable.get())
        variable.set("set")

    async def asynchronous(message: Any) -> None:
        plain(message)

    in_thread(lambda: [dispatch(consumer) for consumer in (plain, plain, asynchronous, asynchronous, plain)])
    assert seen == ["unset"] * 5


def test_signals_observers_and_the_consumer_share_the_context() -> None:
    seen: list[str] = []

    def started(**_: Any) -> None:
        variable.set("started")

    def consumer(message: Any) -> None:
        seen.append(variable.get())
        variable.set("consumer")

    def finished(**_: Any) -> None:
        seen.append(variable.get())

    consumer_started.connect(started)
    consumer_finished.connect(finished)
    in_thread(lambda: dispatch(consumer))
    consumer_started.disconnect(started)
    consumer_finished.disconnect(finished)
    assert seen == ["started", "consumer"]


def test_what_the_thread_itself_has_is_not_what_all_its_messages_share() -> None:
    """So Sentry does it: each thread begins with a scope, an object that is changed in place."""
    seen: list[list[str]] = []

    def consumer(message: Any) -> None:
        tags = scope.get([])
        tags.append("tag")
        seen.append(tags)

    def thread() -> None:
        scope.set([])
        dispatch(consumer)
        dispatch(consumer)

    in_thread(thread)
    assert seen == [["tag"], ["tag"]]


@pytest.mark.filterwarnings("ignore:.*Eventlet is deprecated")
def test_sentrys_tags_end_with_their_message() -> None:
    """In the same slot, in a coroutine, and in a slot that began with a scope of its own."""
    sentry_sdk = pytest.importorskip("sentry_sdk")
    seen: list[dict[str, str]] = []

    def plain(message: Any) -> None:
        seen.append(dict(sentry_sdk.get_isolation_scope()._tags))
        sentry_sdk.set_tag("message", str(len(seen)))
        seen.append(dict(sentry_sdk.get_isolation_scope()._tags))

    async def coroutine(message: Any) -> None:
        plain(message)

    def slot() -> None:
        sentry_sdk.set_tag("slot", "1")
        for consumer in (plain, coroutine, plain, coroutine):
            dispatch(consumer)

    in_thread(slot)
    in_thread(slot)
    assert seen[::2] == [{}] * 8
    assert [tags["message"] for tags in seen[1::2]] == ["1", "3", "5", "7", "9", "11", "13", "15"]


@pytest.mark.parametrize("pool", [pytest.param("thread", marks=pytest.mark.soak), "gevent"])
def test_messages_in_a_django_project_begin_clean_and_may_use_the_database(
    pool: str, notes: Notes, layer: RedisChannelLayer, prefix: str, tmp_path: Path
) -> None:
    """Whatever runs beside them: coroutines, and event loops of other consumers."""
    pytest.importorskip("django")
    if pool == "gevent":
        pytest.importorskip("gevent")
    command = [*MODULE, "--settings", "tests.support.workers.apart", "--pool", pool, "--concurrency", "3"]
    with WorkerProcess(command, tmp_path, env={**notes.env, "TEST_PREFIX": prefix}) as worker:
        for _ in range(5):
            for channel in ("looping", "plain", "asynchronous", "plain"):
                layer.send(channel, {})
        eventually(lambda: len(notes["found"]) == 20, timeout=20)
        worker.stop()
        assert "Traceback" not in worker.log
    assert set(notes["found"]) == {"en-us UTC nobody"}
    assert set(notes["queries"]) == {"0"}
    assert len(notes["queries"]) == 10
    assert len(set(notes["cache"])) <= 3  # one for each slot, as one makes a connection
