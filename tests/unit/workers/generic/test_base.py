from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.workers.fakes import FakeLayer, message
from workers import route_class
from workers.exceptions import RoutingError
from workers.generic import BaseConsumer
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher


class Consumer(BaseConsumer):
    method_mapping = {"one": "first", "two": "second"}
    answer = "plain"

    def first(self, message: Any, **kwargs: Any) -> None:
        message.called = ("first", self.answer, kwargs, self.kwargs, self.message is message)

    async def second(self, message: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        message.called = ("second", kwargs)


def test_it_listens_on_the_channels_of_its_methods() -> None:
    assert Consumer.channel_names() == {"one", "two"}
    assert Router([route_class(Consumer)]).channels == {"one", "two"}


def test_the_method_for_the_channel_gets_the_message_and_the_named_groups() -> None:
    received: Any = message("one", path="/7")
    consumer, arguments = Router([route_class(Consumer, path=r"/(?P<id>\d)")]).match(received)  # type: ignore[misc]
    consumer(received, **arguments)
    assert received.called == ("first", "plain", {"id": "7"}, {"id": "7"}, True)


def test_a_method_may_be_async() -> None:
    received: Any = message("two")
    Consumer(received, id="7")
    assert received.called == ("second", {"id": "7"})


def test_as_route_makes_a_route_with_filters_and_a_subclass_with_attributes() -> None:
    routed = Consumer.as_route(attrs={"answer": "other"}, path="/x")
    assert set(routed.channels) == {"one", "two"}
    assert routed.match(message("one", path="/y")) is None
    received: Any = message("one", path="/x")
    routed.consumer(received)
    assert received.called[1] == "other"
    assert Consumer.answer == "plain"
    assert Consumer.as_route().consumer is Consumer
    with pytest.raises(TypeError, match="attrs"):
        Consumer.as_route(attrs=["answer"])  # type: ignore[arg-type]


def test_a_route_to_a_class_takes_a_path_and_wants_channel_names() -> None:
    assert route_class("tests.unit.workers.generic.test_base.Consumer").consumer is Consumer
    with pytest.raises(RoutingError, match="channel_names"):
        route_class(object)


def test_the_dispatcher_runs_it_and_logs_its_name(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(BaseConsumer):
        method_mapping = {"one": "missing"}

    Dispatcher(Router([Failing.as_route()]), FakeLayer(), None).dispatch("one", {})
    assert "Failing" in caplog.text
    assert "missing" in caplog.text
