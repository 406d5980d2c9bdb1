"""Users of channel sessions and browsers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("django")

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import override_settings

from asgi_redis import InMemoryChannelLayer
from tests.support.workers.project import database
from tests.unit.workers.test_sessions import message

__all__ = ["database"]

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def ada() -> Iterator[Any]:
    from django.contrib.auth.models import User

    user = User.objects.create_user("ada")
    yield user
    user.delete()


@pytest.fixture
def headers(ada: Any) -> Any:
    """Those of a browser that she has logged in with."""
    session = SessionStore()
    session[SESSION_KEY] = str(ada.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = ada.get_session_auth_hash()
    session.save()
    return [[b"cookie", f"sessionid={session.session_key}".encode()]]


@pytest.fixture
def client() -> str:
    return f"auth!{uuid.uuid4().hex}"


@pytest.fixture
def rotate() -> Iterator[Callable[[], None]]:
    """Replaces the SECRET_KEY; the one before stays among the fallbacks."""
    with ExitStack() as stack:
        rotated = override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY])
        yield lambda: stack.enter_context(rotated)  # type: ignore[func-returns-value]


def user(message: Any) -> Any:
    return message.user


def test_the_user_of_a_browser_is_there_for_one_message(ada: Any, headers: Any) -> None:
    from workers.auth import http_session_user

    assert http_session_user(user)(message(None, path="/", headers=headers)) == ada
    assert http_session_user(user)(message(None, path="/")).is_anonymous


@pytest.mark.parametrize("on_connect", ["channel_session_user_from_http", "channel_and_http_session_user_from_http"])
def test_the_user_of_a_browser_stays_with_the_client(on_connect: str, ada: Any, headers: Any, client: str) -> None:
    from workers import auth

    assert auth.channel_session_user(user)(message(client)).is_anonymous
    assert getattr(auth, on_connect)(user)(message(client, path="/", headers=headers)) == ada
    assert auth.channel_session_user(user)(message(client)) == ada
    assert auth.channel_session_user(user)(message(f"{client}2")).is_anonymous


def test_no_user_is_transferred_from_a_session_without_one(client: str) -> None:
    from workers.auth import transfer_user
    from workers.sessions import session_for_reply_channel

    session = session_for_reply_channel(client)
    transfer_user({"_auth_user_id": "1"}, session)
    assert "_auth_user_id" not in session


@pytest.mark.parametrize("attribute", ["http_user", "http_user_and_session"])
def test_a_class_may_ask_for_the_user(attribute: str, ada: Any, headers: Any, client: str) -> None:
    from workers.generic.websockets import WebsocketConsumer
    from workers.message import Message

    users: list[Any] = []

    class Known(WebsocketConsumer):
        def connect(self, message: Any, **kwargs: Any) -> None:
            users.append(message.user)

        def receive(self, **kwargs: Any) -> None:
            users.append(self.message.user)  # type: ignore[attr-defined]

    setattr(Known, attribute, True)
    for channel, content in [("connect", {"headers": headers}), ("receive", {"text": "x"})]:
        received: Message = message(client, path="/", **content)
        Known(Message(received.content, f"websocket.{channel}", received.channel_layer))
    assert users == [ada, ada]


def test_a_client_keeps_user_and_session_when_the_secret_key_is_replaced(
    rotate: Any, ada: Any, headers: Any, client: str
) -> None:
    from workers.auth import channel_session_user, channel_session_user_from_http
    from workers.sessions import enforce_ordering, session_for_reply_channel

    seen: list[Any] = []

    @enforce_ordering
    @channel_session_user
    def receive(message: Any) -> None:
        seen.append((message.user, message.channel_session["room"]))

    @enforce_ordering
    @channel_session_user_from_http
    def connect(message: Any) -> None:
        message.channel_session["room"] = "lobby"

    layer = InMemoryChannelLayer()
    connect(message(client, layer, order=0, path="/", headers=headers))
    rotate()
    for order in (1, 2):
        receive(message(client, layer, order=order))
    assert seen == [(ada, "lobby")] * 2
    assert session_for_reply_channel(client)[HASH_SESSION_KEY] == ada.get_session_auth_hash()


def test_a_browser_keeps_user_and_session_when_the_secret_key_is_replaced(
    rotate: Any, ada: Any, headers: Any, client: str
) -> None:
    """A consumer cannot give it a cookie with another key."""
    from workers.auth import channel_session_user, channel_session_user_from_http, http_session_user

    rotate()
    for _ in range(2):
        assert http_session_user(user)(message(None, path="/", headers=headers)) == ada
    assert channel_session_user_from_http(user)(message(client, path="/", headers=headers)) == ada
    assert channel_session_user(user)(message(client)) == ada
    key = headers[0][1].decode().partition("=")[2]
    assert SessionStore(session_key=key)[HASH_SESSION_KEY] == ada.get_session_auth_hash()


def test_who_has_changed_the_password_elsewhere_is_logged_out(ada: Any, headers: Any) -> None:
    from workers.auth import http_session_user

    ada.set_password("new")
    ada.save()
    assert http_session_user(user)(message(None, path="/", headers=headers)).is_anonymous
