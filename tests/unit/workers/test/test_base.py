"""Test cases on layers in memory, and the client that runs consumers."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

pytest.importorskip("django")

from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpResponse
from django.test import SimpleTestCase, override_settings
from django.urls import path

import asgi_redis
from asgi_redis import InMemoryChannelLayer
from asgi_redis.integrations.django import register_layer
from tests.support.workers.project import database
from workers import Channel, DenyConnection, Group, Message, WebsocketCloseException, channel_layers, include, route
from workers.handler import ViewConsumer
from workers.test import ChannelTestCase, Client, TransactionChannelTestCase, apply_routes
from workers.test.base import ChannelTestCaseMixin

__all__ = ["database"]

# Nothing listens there: a test that used this layer would fail.
UNREACHABLE = {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}


def echo(message: Message, **arguments: Any) -> Any:
    message.reply_channel.send({"echo": message["n"], **arguments})
    return "done"


class Urls:
    urlpatterns = (path("", lambda request: HttpResponse(f"{get_user_model().objects.count()} user")),)


@pytest.fixture(autouse=True, scope="module")
def _settings(database: None) -> Any:
    with override_settings(
        CHANNEL_LAYERS={
            "default": {**UNREACHABLE, "ROUTING": [route("in", echo)]},
            "other": {**UNREACHABLE, "ROUTING": []},
        }
    ):
        yield


class TestLayersInMemory(ChannelTestCase):
    test_channel_aliases = ("default", "other")

    @classmethod
    def setUpTestData(cls) -> None:
        Channel("leftover").send({"n": 0})

    def setUp(self) -> None:
        Channel("set-up").send({"n": 1})

    def test_every_way_to_a_layer_leads_to_the_one_in_memory(self) -> None:
        layer = asgi_redis.get_channel_layer()
        assert isinstance(layer, InMemoryChannelLayer)
        assert (
            Channel("c").channel_layer is Group("g").channel_layer is channel_layers["default"].channel_layer is layer
        )
        assert channel_layers["default"].router.channels == {"in"}

    def test_each_alias_has_its_own(self) -> None:
        Channel("c", alias="other").send({"n": 2})
        assert self.get_next_message("c") is None
        message = self.get_next_message("c", alias="other", require=True)
        assert message is not None
        assert message["n"] == 2
        assert message.channel_layer is asgi_redis.get_channel_layer("other")

    def test_it_has_the_messages_of_this_test_alone(self) -> None:
        assert self.get_next_message("leftover") is None
        assert self.get_next_message("set-up", require=True) is not None
        assert self.get_next_message("set-up") is None

    def test_a_required_message_that_is_missing_fails_the_test(self) -> None:
        with pytest.raises(AssertionError, match="no message on channel nothing"):
            self.get_next_message("nothing", require=True)

    def test_a_group_reaches_its_members(self) -> None:
        Group("g").add("member")
        Group("g").send({"n": 3})
        assert self.get_next_message("member", require=True).content == {"n": 3}  # type: ignore[union-attr]


class TestTransactions(TransactionChannelTestCase):
    def test_the_database_is_not_in_a_transaction_of_the_test(self) -> None:
        assert not connection.in_atomic_block
        Channel("c").send({"n": 1})
        assert self.get_next_message("c", require=True) is not None


def test_the_layer_of_before_is_back_afterwards() -> None:
    class Case(ChannelTestCaseMixin, SimpleTestCase):
        def runTest(self) -> None:
            assert asgi_redis.get_channel_layer() is not mine

        def tearDown(self) -> None:
            assert asgi_redis.get_channel_layer() is not mine
            raise ValueError("an error")

    mine = InMemoryChannelLayer()
    before = register_layer("default", mine)
    try:
        result = unittest.TestResult()
        unittest.TestSuite([Case()]).run(result)
        assert [text.splitlines()[-1] for _, text in result.errors] == ["ValueError: an error"]
        assert asgi_redis.get_channel_layer() is mine
        with pytest.raises(ValueError, match="an error"):
            Case().debug()
        assert asgi_redis.get_channel_layer() is mine
    finally:
        register_layer("default", before)


class TestClients(ChannelTestCase):
    def setUp(self) -> None:
        self.client = Client()

    def test_it_runs_the_consumer_and_receives_the_reply(self) -> None:
        assert self.client.send_and_consume("in", {"n": 1}) == "done"
        assert self.client.receive() == {"echo": 1}
        assert self.client.receive() is None
        assert self.client.get_consumer_by_channel("in") is echo
        assert self.client.get_consumer_by_channel("out") is None

    def test_two_clients_have_two_reply_channels(self) -> None:
        Client().send_and_consume("in", {"n": 1})
        assert self.client.receive() is None

    def test_replies_go_out_when_the_consumer_is_done(self) -> None:
        def slow(message: Message) -> Any:
            message.reply_channel.send({})
            return self.client.receive()

        with apply_routes(route("slow", slow)):
            assert self.client.send_and_consume("slow") is None
        assert self.client.receive() == {}

    def test_async_def_consumers_run_too(self) -> None:
        async def consumer(message: Message) -> str:
            message.reply_channel.send({"n": message["n"]})
            return "awaited"

        with apply_routes(route("a", consumer)):
            assert self.client.send_and_consume("a", {"n": 1}) == "awaited"
        assert self.client.receive() == {"n": 1}

    def test_a_missing_message_or_consumer_fails(self) -> None:
        with pytest.raises(AssertionError, match="no message on channel in"):
            self.client.consume("in")
        with pytest.raises(AssertionError, match="no consumer for the message on channel nowhere"):
            self.client.send_and_consume("nowhere")
        assert self.client.consume("in", fail_on_none=False) is None
        assert self.client.send_and_consume("nowhere", fail_on_none=False) is None

    def test_exceptions_for_the_socket_act_and_others_pass_through(self) -> None:
        def close(message: Message) -> None:
            raise WebsocketCloseException(4001)

        def deny(message: Message) -> None:
            raise DenyConnection

        with apply_routes([route("websocket.receive", close), route("websocket.connect", deny)]):
            self.client.send_and_consume("websocket.receive")
            assert self.client.receive() == {"close": 4001}
            with pytest.raises(DenyConnection):
                self.client.send_and_consume("websocket.connect")

    def test_a_view_sees_the_data_of_the_test_and_leaves_its_transaction_alone(self) -> None:
        get_user_model().objects.create_user("ada")
        with apply_routes(route("http.request", ViewConsumer())), override_settings(ROOT_URLCONF=Urls):
            self.client.send_and_consume("http.request", {"method": "GET", "path": "/", "http_version": "1.1"})
        assert self.client.receive()["content"] == b"1 user"
        assert get_user_model().objects.count() == 1

    def test_it_joins_groups(self) -> None:
        self.client.join_group("g")
        Group("g").send({"n": 1})
        assert self.client.receive() == {"n": 1}


@apply_routes([[route("a", echo)], [route("b", echo)]], aliases=["default", "other"])
class TestAppliedRoutesOfAClass(ChannelTestCase):
    test_channel_aliases = ("default", "other")

    def test_they_are_those_of_all_its_tests(self) -> None:
        assert channel_layers["default"].router.channels == channel_layers["other"].router.channels == {"a", "b"}

    @apply_routes(include([route("c", echo)]))
    def test_a_test_may_have_its_own(self) -> None:
        assert channel_layers["default"].router.channels == {"c"}
        assert channel_layers["other"].router.channels == {"a", "b"}

    def test_the_old_ones_are_back_after_a_block(self) -> None:
        with apply_routes([route("d", echo)]):
            assert channel_layers["default"].router.channels == {"d"}
        assert channel_layers["default"].router.channels == {"a", "b"}
