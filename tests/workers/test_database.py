"""Django's database connections around messages, with a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from django.db import connection, connections

from tests.workers.fakes import FakeLayer
from tests.workers.project import database
from workers import route
from workers.dispatcher import Dispatcher
from workers.django import close_connections
from workers.routing import Router
from workers.signals import consumer_finished, consumer_started

__all__ = ["database"]

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _looked_after() -> Iterator[None]:
    for signal in (consumer_started, consumer_finished):
        signal.connect(close_connections)
    yield
    for signal in (consumer_started, consumer_finished):
        signal.disconnect(close_connections)


def in_one_thread(*consumers: Any) -> None:
    def run() -> None:
        for consumer in consumers:
            dispatcher = Dispatcher(Router([route("c", consumer)]), FakeLayer(), None)
            dispatcher.dispatch("c", {})
            assert not dispatcher.failed
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)


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
