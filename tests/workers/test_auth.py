"""Users of channel sessions and browsers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from tests.workers.project import database
from tests.workers.test_sessions import message

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
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(ada.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = ada.get_session_auth_hash()
    session.save()
    return [[b"cookie", f"sessionid={session.session_key}".encode()]]


@pytest.fixture
def client() -> str:
    return f"auth!{uuid.uuid4().hex}"


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
    assert session.is_empty() or "_auth_user_id" not in session


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
