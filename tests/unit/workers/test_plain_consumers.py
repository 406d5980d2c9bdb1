"""``async def`` under the session and user decorators: Django's sessions need plain functions."""

from __future__ import annotations

import functools
import uuid
from typing import Any

import pytest

pytest.importorskip("django")

from asgi_redis import InMemoryChannelLayer
from tests.support.workers.project import database
from tests.unit.workers.test_sessions import message
from workers import Message, auth, sessions
from workers.generic import BaseConsumer
from workers.generic.websockets import JsonWebsocketConsumer, WebsocketConsumer

__all__ = ["database"]

pytestmark = pytest.mark.usefixtures("database")

DECORATORS = [
    sessions.channel_session,
    sessions.http_session,
    sessions.channel_and_http_session,
    sessions.enforce_ordering,
    auth.channel_session_user,
    auth.http_session_user,
    auth.channel_session_user_from_http,
    auth.channel_and_http_session_user_from_http,
]

each_decorator = pytest.mark.parametrize("decorator", DECORATORS, ids=lambda decorator: decorator.__name__)


async def asynchronous(message: Any, **kwargs: Any) -> None:
    message.ran = True


class Callable:
    async def __call__(self, message: Any) -> None:
        message.ran = True


@pytest.fixture
def received() -> Message:
    content = {"reply_channel": f"plain!{uuid.uuid4().hex}", "path": "/", "order": 0, "text": "{}"}
    return Message(content, "websocket.receive", InMemoryChannelLayer())


@each_decorator
@pytest.mark.parametrize("consumer", [asynchronous, functools.partial(asynchronous)], ids=["function", "partial"])
def test_what_is_async_is_refused_when_it_is_decorated(decorator: Any, consumer: Any) -> None:
    with pytest.raises(TypeError, match=r"asynchronous is async def"):
        decorator(consumer)


@each_decorator
@pytest.mark.parametrize(
    ("consumer", "name"),
    [(lambda message: asynchronous(message), "asynchronous"), (Callable(), "Callable.__call__")],
    ids=["function that calls it", "object"],
)
def test_what_turns_out_to_be_async_is_refused_when_it_is_called(
    decorator: Any, consumer: Any, name: str, received: Any
) -> None:
    """Its coroutine is closed: one that is left lying warns, and with warnings a test fails."""
    with pytest.raises(TypeError, match=f"{name} is async def"):
        decorator(consumer)(received)
    assert not hasattr(received, "ran")


@pytest.mark.parametrize(
    "attribute", ["channel_session", "channel_session_user", "http_user", "http_user_and_session", "strict_ordering"]
)
@pytest.mark.parametrize("base", [WebsocketConsumer, JsonWebsocketConsumer])
def test_a_class_with_sessions_has_no_async_methods(attribute: str, base: Any, received: Any) -> None:
    class Chat(base):  # type: ignore[misc]
        async def receive(self, *args: Any, **kwargs: Any) -> None:
            self.message.ran = True

    Chat(received)
    assert received.ran
    del received.ran
    with pytest.raises(TypeError, match=r"Chat\.receive is async def"):
        Chat.as_route({attribute: True}).consumer(received)
    assert not hasattr(received, "ran")


def test_a_class_of_any_channel_is_refused_likewise(received: Any) -> None:
    class Thumbnails(BaseConsumer):
        method_mapping = {"websocket.receive": "make"}
        channel_session = True

        async def make(self, message: Any) -> None: ...

    with pytest.raises(TypeError, match=r"Thumbnails\.make is async def"):
        Thumbnails(received)


@each_decorator
def test_what_a_plain_consumer_returns_and_raises_is_left_alone(decorator: Any, received: Any) -> None:
    def consumer(message: Any) -> str:
        if "text" not in message:
            raise KeyError("text")
        return "done"

    assert decorator(consumer)(received) == (None if decorator is sessions.enforce_ordering else "done")
    with pytest.raises(KeyError):
        decorator(consumer)(message(f"plain!{uuid.uuid4().hex}", path="/", order=0))
