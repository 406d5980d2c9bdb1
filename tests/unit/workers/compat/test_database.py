"""Django's database connections around messages, with a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import OperationalError, connection, connections
from django.utils import timezone

from tests.support.workers.fakes import FakeLayer
from tests.support.workers.project import database
from workers import route
from workers.compat.django import treat_messages_as_requests
from workers.loops import coroutines
from workers.routing import Router
from workers.runtime.dispatcher import OWN, Dispatcher
from workers.signals import consumer_finished, consumer_started

__all__ = ["database"]

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _looked_after() -> Iterator[None]:
    treat_messages_as_requests(OWN)
    yield
    for signal in (consumer_started, consumer_finished):
        signal.disconnect(dispatch_uid="workers.compat.django")
    coroutines.call_around(None)
    in_orm_thread(connections.close_all)


def in_one_thread(*consumers: Any, failed: bool = False) -> None:
    outcomes: list[bool] = []

    def run() -> None:
        for consumer in consumers:
            dispatcher = Dispatcher(Router([route("c", consumer)]), FakeLayer(), None)
            dispatcher.dispatch("c", {})
            outcomes.append(bool(dispatcher.failed))
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert outcomes == [failed] * len(consumers)


def in_orm_thread(function: Any) -> Any:
    """Calls it where the ORM of ``async def`` consumers runs."""
    return SyncToAsync.single_thread_executor.submit(function).result(10)


def test_a_connection_lives_for_conn_max_age_in_its_thread() -> None:
    seen: list[Any] = []

    def consumer(message: Any) -> None:
        connection.ensure_connection()
        seen.append(connection.connection)

    in_one_thread(consumer, consumer)
    in_one_thread(consumer)
    assert len(seen) == 3
    assert seen[0] is seen[1]
    assert seen[2] is not seen[0]


@pytest.mark.parametrize("fault", ["past CONN_MAX_AGE", "broken"])
def test_a_connection_that_is_of_no_more_use_is_closed_after_the_message(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: list[Any] = []
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda _: fault != "broken")

    def consumer(message: Any) -> None:
        connection.ensure_connection()
        connection.close_at = 0 if fault != "broken" else None
        connection.errors_occurred = fault == "broken"

    consumer_finished.connect(lambda **_: after.append(connection.connection), dispatch_uid="after")
    in_one_thread(consumer)
    consumer_finished.disconnect(dispatch_uid="after")
    assert after == [None]


@pytest.mark.parametrize("error", [None, ValueError])
def test_that_of_an_async_consumer_is_closed_after_the_message(error: Any) -> None:
    """Also where the consumer has raised."""

    def use() -> None:
        connection.ensure_connection()
        connection.close_at = 0

    async def consumer(message: Any) -> None:
        await sync_to_async(use)()
        if error:
            raise error

    in_one_thread(consumer, failed=error is not None)
    assert in_orm_thread(lambda: connection.connection) is None


def test_that_of_async_consumers_lives_for_conn_max_age() -> None:
    seen: list[Any] = []

    def use() -> None:
        connection.ensure_connection()
        seen.append(connection.connection)

    async def consumer(message: Any) -> None:
        await sync_to_async(use)()

    in_one_thread(consumer, consumer)
    in_one_thread(consumer)
    assert seen[0] is seen[1] is seen[2]


def test_that_of_async_consumers_is_closed_before_the_next_message_where_it_went_bad() -> None:
    before: list[Any] = []

    def use(close_at: float | None) -> None:
        before.append(connection.connection)
        connection.ensure_connection()
        connection.close_at = close_at

    async def consumer(message: Any) -> None:
        await sync_to_async(use)(None)

    in_one_thread(consumer)
    in_orm_thread(lambda: use(0))
    in_one_thread(consumer)
    assert [one is None for one in before] == [True, False, True]


def test_a_connection_that_went_bad_between_messages_is_closed_before_the_next() -> None:
    before: list[Any] = []

    def consumer(message: Any) -> None:
        before.append(connection.connection)
        connection.ensure_connection()

    def goes_bad(**_: Any) -> None:
        connection.close_at = 0

    consumer_finished.connect(goes_bad)
    in_one_thread(consumer, consumer)
    consumer_finished.disconnect(goes_bad)
    assert before == [None, None]


def test_a_database_that_is_away_costs_no_message_and_no_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[bool] = []

    def refuse(connection: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    def consumer(message: Any) -> None:
        connection.ensure_connection()
        ran.append(True)

    monkeypatch.setattr(type(connections["default"]), "close_if_unusable_or_obsolete", refuse)
    in_one_thread(consumer, consumer)
    assert len(ran) == 2
    # After the first message, before the second and after it.
    assert [record.name for record in caplog.records] == ["workers.compat.django"] * 3
    assert "server closed the connection" in caplog.text


def test_what_django_keeps_for_a_thread_is_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with asgiref before 3.7, and Django before 3."""
    seen: list[str] = []

    def consumer(message: Any) -> None:
        seen.append(timezone.get_current_timezone_name())
        timezone.activate(timezone.get_fixed_timezone(77))

    monkeypatch.setattr(timezone, "_active", threading.local())
    treat_messages_as_requests(OWN)
    in_one_thread(consumer, consumer)
    consumer_started.disconnect(dispatch_uid="workers.compat.django.forget")
    assert seen == [timezone.get_default_timezone_name()] * 2
