"""Sessions of reply channels and browsers, with each of Django's engines."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from django.contrib.sessions.backends.base import CreateError
from django.db import connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.workers.fakes import FakeLayer
from tests.support.workers.fakes import message as make_message
from tests.support.workers.project import database
from workers import Message, sessions
from workers.exceptions import ConsumeLater, DenyConnection
from workers.generic.websockets import WebsocketConsumer
from workers.sessions import (
    channel_and_http_session,
    channel_session,
    enforce_ordering,
    http_session,
    requeue_messages,
    session_for_reply_channel,
    wait_channel_name,
)

__all__ = ["database"]

BACKENDS = "django.contrib.sessions.backends"

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(params=["db", "cache", "cached_db", "file"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.{request.param}", SESSION_FILE_PATH=str(tmp_path)):
        yield request.param


@pytest.fixture
def layer(redis_server: RedisServer, prefix: str) -> Iterator[RedisChannelLayer]:
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, capacity=3) as layer:
        yield layer


@pytest.fixture
def client() -> str:
    """A reply channel that no other test has used."""
    return f"reply!{uuid.uuid4().hex}"


def message(client: str | None, layer: Any = None, **content: Any) -> Any:
    return make_message("c", layer or FakeLayer(), reply_channel=client, **content)


def test_a_client_keeps_its_session(engine: str, client: str) -> None:
    @channel_session
    def consumer(message: Any) -> list[str]:
        seen = [*message.channel_session.get("seen", []), message["n"]]
        message.channel_session["seen"] = seen
        return seen

    assert [consumer(message(client, n=n)) for n in "ab"] == [["a"], ["a", "b"]]
    assert consumer(message(f"{client}2", n="c")) == ["c"]
    assert session_for_reply_channel(client)["seen"] == ["a", "b"]


def test_a_session_that_is_only_read_costs_one_query(client: str) -> None:
    consumer = channel_session(lambda message: message.channel_session["a"])
    session = session_for_reply_channel(client)
    session["a"] = 1
    session.save(must_create=True)
    with CaptureQueriesContext(connection) as queries:
        assert consumer(message(client)) == 1
    assert len(queries) == 1


def test_it_is_saved_when_the_consumer_raises(engine: str, client: str) -> None:
    @channel_session
    def consumer(message: Any) -> None:
        message.channel_session["a"] = 1
        raise KeyError

    with pytest.raises(KeyError):
        consumer(message(client))
    assert session_for_reply_channel(client)["a"] == 1


def test_two_messages_of_a_client_at_a_time_do_not_undo_each_other(engine: str, client: str) -> None:
    @channel_session
    def outer(first: Any) -> None:
        first.channel_session["outer"] = 1
        del first.channel_session["old"]
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join(10)

    @channel_session
    def inner(second: Any) -> None:
        second.channel_session["inner"] = second.channel_session["old"]
        second.channel_session["changed"] = 4

    def in_thread() -> None:
        inner(message(client))
        connections.close_all()

    session = session_for_reply_channel(client)
    session.update({"old": 2, "changed": 3})
    session.save(must_create=True)
    outer(message(client))
    assert dict(session_for_reply_channel(client).items()) == {"outer": 1, "inner": 2, "changed": 4}


def test_whoever_comes_second_to_make_a_session_is_put_off(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.sessions.backends.db import SessionStore

    def taken(*_: Any, **__: Any) -> None:
        raise CreateError

    monkeypatch.setattr(SessionStore, "save", taken)
    with pytest.raises(ConsumeLater):
        channel_session(lambda message: None)(message(client))


def test_a_method_may_be_decorated_and_decorators_share_a_session(client: str) -> None:
    class Consumer:
        @channel_session
        @channel_session
        def method(self, message: Any) -> None:
            message.channel_session["a"] = 1

    Consumer().method(message(client))
    assert session_for_reply_channel(client)["a"] == 1


def test_a_session_that_a_test_has_set_is_saved_without_a_reply_channel(engine: str, client: str) -> None:
    @channel_session
    def consumer(message: Any) -> None:
        message.channel_session["a"] = 1

    received: Any = message(None)
    received.channel_session = session_for_reply_channel(client)
    received.channel_session.save(must_create=True)
    consumer(received)
    assert session_for_reply_channel(client)["a"] == 1


def test_what_a_channel_session_cannot_do_is_an_error(client: str) -> None:
    with pytest.raises(ValueError, match="reply_channel"):
        channel_session(lambda message: None)(message(None))
    with pytest.raises(ValueError, match="without Message"):
        channel_session(lambda message: None)("message")
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.signed_cookies"), pytest.raises(ValueError, match="signed"):
        session_for_reply_channel(client)
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.signed_cookies", CHANNEL_SESSION_ENGINE=f"{BACKENDS}.cache"):
        assert session_for_reply_channel(client).session_key.startswith("chn")


def test_messages_come_in_order(engine: str, client: str, layer: RedisChannelLayer) -> None:
    """Whatever order they are read in; those that come early wait, and go back to their channel in time."""
    handled: list[int] = []

    @enforce_ordering
    def consumer(message: Any) -> None:
        handled.append(message["order"])
        assert "original_channel" not in message

    for order in (2, 1, 0):
        consumer(message(client, layer, order=order))
    while True:
        channel, content = layer.receive(["c"])
        if channel is None or content is None:
            break
        consumer(Message(content, channel, layer))
    assert handled == [0, 1, 2]
    assert layer.receive([wait_channel_name(client)]) == (None, None)


def test_one_whose_turn_comes_while_it_goes_to_wait_is_requeued(client: str, layer: RedisChannelLayer) -> None:
    class Slow:
        """The layer, where message 0 is done just before message 1 begins to wait."""

        ChannelFull = layer.ChannelFull
        receive = staticmethod(layer.receive)

        def send(self, channel: str, content: Any) -> None:
            if channel.startswith("__wait__") and content["order"] == 1:
                consumer(message(client, layer, order=0))
            layer.send(channel, content)

    consumer = enforce_ordering(lambda message: None)
    consumer(message(client, Slow(), order=1))
    assert layer.receive(["c"])[1] == {"order": 1, "reply_channel": client}
    assert layer.receive([wait_channel_name(client)]) == (None, None)


def test_full_channels_are_told(client: str, layer: RedisChannelLayer) -> None:
    consumer = enforce_ordering(lambda message: None)
    for order in (1, 2, 3):
        consumer(message(client, layer, order=order))
        layer.send("c", {})
    with pytest.raises(layer.ChannelFull, match="wait for their turn"):
        consumer(message(client, layer, order=4))
    with pytest.raises(layer.ChannelFull, match="its channel c is full"):
        requeue_messages(message(client, layer))


def run_by_worker(consumer: Any, client: str, layer: Any, **content: Any) -> list[tuple[str, Any]]:
    """Calls a consumer as a worker does, and returns the messages to run after it."""
    given = message(client, layer, **content)
    given.then = []
    consumer(given)
    return given.then


def test_in_a_worker_the_next_message_comes_at_once(engine: str, client: str, layer: RedisChannelLayer) -> None:
    """Also where the channel is full: only its readers make room."""
    for _ in range(3):
        layer.send("c", {})
    consumer = enforce_ordering(lambda message: None)
    assert run_by_worker(consumer, client, layer, order=2) == []
    assert run_by_worker(consumer, client, layer, order=1) == []
    then = run_by_worker(consumer, client, layer, order=0)
    assert then == [("c", {"order": 1, "reply_channel": client})]
    assert run_by_worker(consumer, client, layer, order=1) == [("c", {"order": 2, "reply_channel": client})]


@pytest.mark.parametrize("error", [KeyError, DenyConnection])
def test_an_error_does_not_hold_up_the_next_message(
    client: str, layer: RedisChannelLayer, error: type[Exception]
) -> None:
    """Such as a frame that is no JSON: the disconnect would never have its turn."""

    @enforce_ordering
    def consumer(message: Any) -> None:
        if message["order"] == 0:
            raise error

    assert run_by_worker(consumer, client, layer, order=1) == []
    first = message(client, layer, order=0)
    first.then = []
    with pytest.raises(error):
        consumer(first)
    assert first.then == [("c", {"order": 1, "reply_channel": client})]


def test_a_message_that_is_consumed_later_keeps_its_turn(client: str, layer: RedisChannelLayer) -> None:
    handled: list[int] = []

    @enforce_ordering
    def consumer(message: Any) -> None:
        if message["order"] == 0 and "again" not in message:
            raise ConsumeLater
        handled.append(message["order"])

    with pytest.raises(ConsumeLater):
        consumer(message(client, layer, order=0))
    assert run_by_worker(consumer, client, layer, order=1) == []
    assert run_by_worker(consumer, client, layer, order=0, again=True) == [
        ("c", {"order": 1, "reply_channel": client})
    ]
    assert handled == [0]


def test_in_a_worker_a_message_whose_turn_comes_while_it_goes_to_wait_follows(
    client: str, layer: RedisChannelLayer
) -> None:
    consumer = enforce_ordering(lambda message: None)
    given = message(client, layer, order=1)
    given.then = []
    send = layer.repeatable_send

    def slow(channel: str, content: Any, witness: Any) -> Any:
        if channel.startswith("__wait__"):
            consumer(message(client, layer, order=0))
        return send(channel, content, witness)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "repeatable_send", slow)
        consumer(given)
    assert given.then == [("c", {"order": 1, "reply_channel": client})]


def test_a_message_far_ahead_of_its_turn_holds_its_slot(
    client: str, layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as those before it are worked off."""
    monkeypatch.setattr(sessions, "MAX_EARLY", 1)
    monkeypatch.setattr(sessions, "POLL_SECONDS", 0.01)
    consumer = enforce_ordering(lambda message: None)
    ended = threading.Event()

    def far_ahead() -> None:
        run_by_worker(consumer, client, layer, order=2)
        connections.close_all()
        ended.set()

    thread = threading.Thread(target=far_ahead)
    thread.start()
    assert not ended.wait(0.2)
    run_by_worker(consumer, client, layer, order=0)
    thread.join(10)
    assert ended.is_set()
    monkeypatch.setattr(sessions, "STANDSTILL_SECONDS", 0.05)
    with pytest.raises(layer.ChannelFull, match="wait for their turn"):
        run_by_worker(consumer, client, layer, order=9)


def test_a_number_that_comes_twice_holds_up_nothing(client: str, layer: RedisChannelLayer) -> None:
    handled: list[int] = []
    consumer = enforce_ordering(lambda message: handled.append(message["n"]))
    for order, n in ((0, 0), (1, 1), (1, 2), (2, 3)):
        run_by_worker(consumer, client, layer, order=order, n=n)
    assert handled == [0, 1, 2, 3]


def test_answers_are_sent_before_the_next_message_may_begin(client: str, layer: RedisChannelLayer) -> None:
    seen: list[int] = []

    class Store:
        def send_collected(self) -> None:
            seen.append(session_for_reply_channel(client).get(sessions.NEXT_ORDER, 0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "pending_message_store", Store())
        enforce_ordering(lambda message: None)(message(client, layer, order=0))
    assert seen == [0]


def test_ordering_needs_an_order_and_knows_no_slight_one(client: str) -> None:
    with pytest.raises(ValueError, match="no order"):
        enforce_ordering(lambda message: None)(message(client))
    with pytest.raises(ValueError, match="slight"):
        enforce_ordering(slight=True)
    assert callable(enforce_ordering(slight=False)(lambda message: None))


def test_a_class_may_have_its_messages_in_order(client: str, layer: RedisChannelLayer) -> None:
    received: list[str] = []

    class Ordered(WebsocketConsumer):
        strict_ordering = True
        channel_session = True

        def receive(self, text: Any = None, **kwargs: Any) -> None:
            self.message.channel_session["last"] = text
            received.append(text)

    for order in (1, 0):
        content = {"reply_channel": client, "path": "/", "order": order, "text": str(order)}
        Ordered(Message(content, "websocket.receive", layer))
    assert received == ["0"]
    assert session_for_reply_channel(client)["last"] == "0"


@pytest.fixture
def browser(engine: str) -> Any:
    """A saved session of a browser."""
    session = sessions.import_module(f"{BACKENDS}.{engine}").SessionStore()
    session["name"] = "Ada"
    session.save()
    return session


@pytest.mark.parametrize("how", ["cookie", "old headers", "query", "query in bytes"])
def test_a_browser_has_its_session(how: str, browser: Any) -> None:
    key = browser.session_key
    content: Any = {
        "cookie": {"headers": [[b"Cookie", f"a=b; sessionid={key}".encode()]]},
        "old headers": {"headers": {"cookie": f"sessionid={key}"}},
        "query": {"query_string": f"session_key={key}", "headers": [[b"cookie", b"sessionid=other"]]},
        "query in bytes": {"query_string": f"session_key={key}".encode()},
    }[how]

    @http_session
    @http_session
    def consumer(message: Any) -> Any:
        message.http_session["seen"] = 1
        return message.http_session["name"]

    assert consumer(message(None, path="/", **content)) == "Ada"
    assert type(browser)(session_key=key)["seen"] == 1


def test_a_browser_without_a_session_has_none() -> None:
    received = message(None, path="/", headers=[])
    http_session(http_session(lambda message: None))(received)
    assert received.http_session is None
    with pytest.raises(ValueError, match="no HTTP request"):
        http_session(lambda message: None)(message(None))


def test_the_session_of_the_browser_stays_with_the_client(browser: Any, client: str) -> None:
    """Later messages have no cookies, only the channel session."""
    consumer = channel_and_http_session(lambda message: message.http_session and message.http_session["name"])
    headers = [[b"cookie", f"sessionid={browser.session_key}".encode()]]
    assert consumer(message(client, path="/", headers=headers)) == "Ada"
    assert consumer(message(client, path="/")) == "Ada"
    assert consumer(message(f"{client}2", path="/")) is None


@pytest.mark.parametrize("module", ["sessions", "auth"])
def test_without_django_it_says_how_to_get_it(module: str) -> None:
    script = f"import sys; sys.modules['django'] = None; import workers.{module}"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert 'pip install "asgi_redis[django]"' in ran.stderr


def test_django_lets_a_session_that_does_not_exist_keep_its_key(engine: str, client: str) -> None:
    """The contract with Django's private ``_session_key``, on which ``session_for_reply_channel`` relies."""
    session = session_for_reply_channel(client)
    assert session.session_key is not None, "SessionBase._session_key has changed: adapt workers.sessions"
    session["n"] = 1
    session.save(must_create=True)
    assert dict(session_for_reply_channel(client).items()) == {"n": 1}, (
        "SessionBase._session_key no longer is the key that a session is saved under: adapt workers.sessions"
    )
