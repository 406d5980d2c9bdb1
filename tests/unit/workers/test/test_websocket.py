"""The client of websockets: session, cookies, headers, order, JSON."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")

from django.contrib.auth import get_user_model
from django.http import parse_cookie
from django.test import override_settings

from tests.support.workers.project import database
from workers import Message, route
from workers.auth import channel_session_user_from_http
from workers.generic.websockets import JsonWebsocketConsumer
from workers.sessions import enforce_ordering
from workers.test import ChannelTestCase, HttpClient, WSClient, apply_routes

__all__ = ["database"]


@pytest.fixture(autouse=True, scope="module")
def _settings(database: None) -> Any:
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "asgi_redis.RedisChannelLayer", "ROUTING": []}}):
        yield


class Chat(JsonWebsocketConsumer):
    def receive(self, content: Any, **kwargs: Any) -> None:
        self.send({"path": self.path, **content})


@apply_routes(Chat.as_route(path="^/chat"))
class TestFrames(ChannelTestCase):
    def setUp(self) -> None:
        self.client = WSClient()

    def test_values_go_as_json_both_ways(self) -> None:
        self.client.send_and_consume("websocket.connect", path="/chat")
        self.client.send_and_consume("websocket.receive", text={"n": 1}, path="/chat")
        assert self.client.receive() == {"path": "/chat", "n": 1}
        self.client.send_and_consume("websocket.receive", {"text": {"n": 2}, "path": "/chat/2"})
        assert self.client.receive(json=False) == '{"path": "/chat/2", "n": 2}'
        assert self.client.receive() is None

    def test_the_query_string_comes_with_the_connect_alone(self) -> None:
        self.client.send("websocket.connect", path="/chat?a=1?")
        self.client.send("websocket.receive", path="/chat?a=1")
        connect, receive = (self.client.get_next_message(f"websocket.{name}") for name in ("connect", "receive"))
        assert connect is not None
        assert receive is not None
        assert (connect["path"], connect["query_string"]) == ("/chat", "a=1?")
        assert (receive["path"], receive.get("query_string")) == ("/chat", None)

    def test_a_connect_that_is_not_accepted_fails(self) -> None:
        def refuse(message: Message) -> None:
            message.reply_channel.send({"close": True})

        with apply_routes(route("websocket.connect", refuse)):
            with pytest.raises(AssertionError, match=r"not accepted; the first answer is {'close': True}"):
                self.client.send_and_consume("websocket.connect")
            self.client.send_and_consume("websocket.connect", check_accept=False)
            assert self.client.receive() == {"close": True}


def note(message: Message) -> None:
    message.reply_channel.send({"n": message["n"]})


@apply_routes(route("websocket.receive", enforce_ordering(note)))
class TestOrder(ChannelTestCase):
    def test_an_ordered_client_counts(self) -> None:
        client = HttpClient(ordered=True)
        for n in range(3):
            client.send_and_consume("websocket.receive", {"n": n})
            assert client.receive() == {"n": n}
        with pytest.raises(ValueError, match="leave out order"):
            client.send("websocket.receive", {"order": 1})

    def test_another_sends_the_order_that_is_given(self) -> None:
        client = WSClient()
        for n in (0, 2, 1):
            client.send("websocket.receive", {"n": n, "order": n})
        for _ in range(4):
            client.consume("websocket.receive")
        assert [client.receive()["n"] for _ in range(3)] == [0, 1, 2]


@channel_session_user_from_http
def connect(message: Message) -> Any:
    message.reply_channel.send({"accept": True})
    rooms = None if message.http_session is None else message.http_session.get("rooms")
    return message.user.get_username(), rooms


@apply_routes(route("websocket.connect", connect))
class TestBrowsers(ChannelTestCase):
    def setUp(self) -> None:
        self.client = WSClient()

    def test_cookies_are_those_of_a_browser(self) -> None:
        self.client.set_cookie("name", "va;lue")
        cookies = parse_cookie(self.client.headers["cookie"].decode())
        assert cookies == {"name": "va;lue", "sessionid": self.client.session.session_key}
        self.client.send("websocket.connect")
        assert parse_cookie(self.client.headers["cookie"].decode()) == {"name": "va;lue"}

    def test_headers_are_sent(self) -> None:
        self.client.set_header("origin", b"http://example.com")
        self.client.send("websocket.connect")
        message = self.client.get_next_message("websocket.connect")
        assert message is not None
        assert [b"origin", b"http://example.com"] in message["headers"]
        with pytest.raises(ValueError, match="set_cookie"):
            self.client.set_header("cookie", b"a=b")

    def test_a_user_who_logs_in_is_the_one_who_connects(self) -> None:
        user = get_user_model().objects.create_user("ada", password="secret")
        assert not self.client.login(username="ada", password="wrong")
        assert self.client.login(username="ada", password="secret")
        self.client.session["rooms"] = ["one"]
        self.client.session.save()
        assert self.client.send_and_consume("websocket.connect") == ("ada", ["one"])
        user.is_active = False
        user.save()
        assert not WSClient().login(username="ada", password="secret")

    def test_so_is_one_who_is_logged_in_by_force(self) -> None:
        self.client.force_login(get_user_model().objects.create_user("bob"))
        assert self.client.send_and_consume("websocket.connect") == ("bob", None)

    def test_others_are_anonymous(self) -> None:
        assert self.client.send_and_consume("websocket.connect") == ("", None)

    def test_without_the_application_there_is_no_session(self) -> None:
        with override_settings(INSTALLED_APPS=[]):
            assert self.client.get_cookies() == {}
            with pytest.raises(OSError, match=r"django\.contrib\.sessions"):
                _ = self.client.session
