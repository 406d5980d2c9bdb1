"""Django's views, called by a worker: requests as their messages come, responses as messages."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.apps import apps
from django.core import signals
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import override_settings

from asgi_redis import InMemoryChannelLayer
from tests.support.workers import views
from tests.support.workers.project import database
from workers import Message, Worker, route
from workers.exceptions import RequestAborted, RequestTimeout, ResponseLater
from workers.handler import AsgiHandler, AsgiRequest, ViewConsumer

__all__ = ["database"]

REPLY = "http.response.client!1"


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    views.events.clear()
    with override_settings(
        ROOT_URLCONF="tests.support.workers.views",
        ALLOWED_HOSTS=["shop"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ):
        yield


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    with InMemoryChannelLayer(capacity=1000) as layer:
        yield layer


def request(layer: Any, path: str = "/facts/", **content: Any) -> Message:
    """A message as the interface sends it."""
    path, _, query = path.partition("?")
    facts = {
        "reply_channel": REPLY,
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "root_path": "",
        "headers": [[b"host", b"shop"]],
        "body": b"",
        "client": ["10.0.0.1", 1234],
        "server": ["10.0.0.2", 80],
    }
    return Message({**facts, **content}, "http.request", layer)


def replies(layer: Any) -> list[dict[str, Any]]:
    received = []
    while True:
        channel, reply = layer.receive(["http.response.client!"])
        if reply is None:
            return received
        assert channel == REPLY
        received.append(reply)


def answer(layer: Any, path: str = "/facts/", **content: Any) -> list[dict[str, Any]]:
    """The messages of the response to one request."""
    ViewConsumer()(request(layer, path, **content))
    return replies(layer)


def body_of(replies: list[dict[str, Any]]) -> bytes:
    assert [reply["more_content"] for reply in replies] == [True] * (len(replies) - 1) + [False]
    return b"".join(reply["content"] for reply in replies)


def test_a_view_gets_the_facts_of_the_request(layer: InMemoryChannelLayer) -> None:
    headers = [[b"host", b"shop"], [b"x-twice", b"1"], [b"x-twice", b"2"], [b"cookie", b"c=3"]]
    (reply,) = answer(layer, "/facts/?a=%26", headers=headers, scheme="https")
    assert reply["status"] == 200
    assert [b"Content-Type", b"application/json"] in reply["headers"]
    assert json.loads(reply["content"]) == {
        "PATH_INFO": "/facts/",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "a=%26",
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_PORT": 1234,
        "SERVER_NAME": "10.0.0.2",
        "SERVER_PORT": "80",
        "HTTP_X_TWICE": "1,2",
        "path": "/facts/",
        "url": "/facts/",
        "secure": True,
        "absolute": "https://shop/facts/?a=%26",
        "get": {"a": "&"},
        "cookies": {"c": "3"},
    }


@pytest.mark.parametrize("how", ["root_path", "FORCE_SCRIPT_NAME"])
def test_a_project_may_be_below_a_path(how: str, layer: InMemoryChannelLayer) -> None:
    with override_settings(FORCE_SCRIPT_NAME=None if how == "root_path" else "/below"):
        (reply,) = answer(layer, "/below/facts/", root_path="/below" if how == "root_path" else "")
    facts = json.loads(reply["content"])
    assert [facts[name] for name in ("PATH_INFO", "path", "url")] == ["/facts/", "/below/facts/", "/below/facts/"]


def test_each_cookie_has_a_header_of_its_own(layer: InMemoryChannelLayer) -> None:
    (reply,) = answer(layer, "/cookies/")
    cookies = [value for name, value in reply["headers"] if name == b"Set-Cookie"]
    assert cookies == [b"a=1; Path=/", b"b=2; Path=/"]


def test_head_has_the_headers_and_no_content(layer: InMemoryChannelLayer, tmp_path: Path) -> None:
    (reply,) = answer(layer, "/cookies/", method="HEAD")
    assert [b"Content-Length", b"2"] in reply["headers"]
    assert (reply["content"], reply["more_content"]) == (b"", False)
    (reply,) = answer(layer, "/stream/?parts=3", method="HEAD")
    assert reply["content"] == b""
    assert views.events == []


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/nowhere/", 404, {}),
        ("/facts", 301, {}),
        ("/refuse/", 400, {}),
        ("/facts/", 400, {"headers": [[b"host", b"elsewhere"]]}),
        ("/facts/?%", 400, {"query_string": b"\xff"}),
        ("/fail/", 500, {}),
    ],
)
@pytest.mark.parametrize("debug", [True, False])
def test_errors_are_answered_as_django_does(
    debug: bool, path: str, status: int, content: Any, layer: InMemoryChannelLayer
) -> None:
    with override_settings(DEBUG=debug):
        sent = answer(layer, path, **content)
    assert sent[0]["status"] == status
    if path == "/fail/":
        assert (b"DEBUG = True" in body_of(sent)) == debug


class Broken:
    """A middleware whose own errors Django cannot answer."""

    def __init__(self, get_response: Any) -> None:
        pass

    def __call__(self, request: Any) -> HttpResponse:
        response = HttpResponse()
        del response.headers
        return response


@pytest.mark.parametrize("debug", [True, False])
def test_a_response_that_cannot_be_sent_is_a_500_and_an_error_of_the_consumer(
    debug: bool, layer: InMemoryChannelLayer
) -> None:
    with override_settings(DEBUG=debug, MIDDLEWARE=[f"{__name__}.Broken"]), pytest.raises(AttributeError):
        answer(layer)
    (reply,) = replies(layer)
    assert reply["status"] == 500
    assert (b"AttributeError" in reply["content"]) == debug


@pytest.mark.parametrize("path", ["/leave/", "/stream/?parts=0&leave=1"])
def test_a_view_that_leaves_the_interpreter_is_a_500_too(path: str, layer: InMemoryChannelLayer) -> None:
    """A worker goes on after ``SystemExit``: the client must not wait for its time to be over."""
    with pytest.raises(SystemExit):
        answer(layer, path)
    (reply,) = replies(layer)
    assert (reply["status"], reply["more_content"]) == (500, False)


def test_the_signals_of_a_request_are_sent(layer: InMemoryChannelLayer) -> None:
    seen: list[Any] = []

    def started(**named: Any) -> None:
        seen.append(named["message"]["path"])

    def finished(**_: Any) -> None:
        seen.append(replies(layer)[0]["status"])

    signals.request_started.connect(started)
    signals.request_finished.connect(finished)
    try:
        answer(layer)
        assert seen == ["/facts/", 200]
    finally:
        signals.request_started.disconnect(started)
        signals.request_finished.disconnect(finished)


@pytest.mark.parametrize("why", ["an asynchronous view answers later", "the client has gone"])
def test_a_request_without_an_answer_ends_too(why: str, layer: InMemoryChannelLayer) -> None:
    """Django's own receiver closes the connections to databases."""
    ends: list[Any] = []

    def finished(**named: Any) -> None:
        ends.append(named["sender"])

    signals.request_finished.connect(finished)
    try:
        if why == "the client has gone":
            layer.send("http.request.body?b", {"closed": True})
            assert answer(layer, "/echo/", body=b"x" * 600_000, body_channel="http.request.body?b") == []
        else:
            assert answer(layer, "/later/") == []
    finally:
        signals.request_finished.disconnect(finished)
    assert len(ends) == 1


# Bodies


def test_a_body_in_the_message_is_that_of_the_request(layer: InMemoryChannelLayer) -> None:
    assert body_of(answer(layer, "/echo/", method="POST", body=b"short")) == b"short"


def test_a_body_in_parts_is_read_from_its_channel(layer: InMemoryChannelLayer) -> None:
    for part in (b"two ", b"three"):
        layer.send("http.request.body?b", {"content": part, "more_content": part != b"three"})
    sent = answer(layer, "/echo/", method="POST", body=b"one ", body_channel="http.request.body?b")
    assert body_of(sent) == b"one two three"


def test_a_large_upload_goes_to_the_disk(layer: InMemoryChannelLayer) -> None:
    content = bytes(range(256)) * 16 * 1024
    form = b'--X\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + content + b"\r\n--X--\r\n"
    parts = [form[begin : begin + 131_072] for begin in range(0, len(form), 131_072)]
    for number, part in enumerate(parts[1:], 2):
        layer.send("http.request.body?b", {"content": part, "more_content": number < len(parts)})
    headers = [
        [b"host", b"shop"],
        [b"content-type", b"multipart/form-data; boundary=X"],
        [b"content-length", b"%d" % len(form)],
    ]
    sent = answer(
        layer, "/upload/", method="POST", headers=headers, body=parts[0], body_channel="http.request.body?b"
    )
    assert json.loads(body_of(sent)) == {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "kind": "TemporaryUploadedFile",
    }


def test_a_body_over_the_limit_of_the_settings_is_refused_unread(layer: InMemoryChannelLayer) -> None:
    headers = [[b"host", b"shop"], [b"content-length", b"3000000"]]
    assert answer(layer, "/echo/", method="POST", headers=headers, body=b"x")[0]["status"] == 400


class Impatient(AsgiHandler):
    class request_class(AsgiRequest):
        body_receive_timeout = 0


class ImpatientConsumer(ViewConsumer):
    handler_class = Impatient


@pytest.mark.parametrize("size", [3, 600_000], ids=["before the view", "in the view"])
@pytest.mark.parametrize("why", ["closed", "late"])
def test_a_body_that_does_not_come(size: int, why: str, layer: InMemoryChannelLayer) -> None:
    if why == "closed":
        layer.send("http.request.body?b", {"closed": True})
    ImpatientConsumer()(request(layer, "/echo/", method="POST", body=b"x" * size, body_channel="http.request.body?b"))
    assert [reply["status"] for reply in replies(layer)] == ([408] if why == "late" else [])


def test_a_view_may_answer_a_body_that_does_not_come(layer: InMemoryChannelLayer) -> None:
    ImpatientConsumer()(request(layer, "/patient/", method="POST", body=b"x" * 600_000, body_channel="body?b"))
    (reply,) = replies(layer)
    assert (reply["status"], reply["content"]) == (409, b"send it again")


@pytest.mark.parametrize("first", [b"first", b"f" * 1024 * 1024], ids=["received ahead", "read by the view"])
def test_a_body_that_lacks_parts_which_have_expired_is_refused(first: bytes, layer: InMemoryChannelLayer) -> None:
    position = len(first) + len("second")
    layer.send("http.request.body?x", {"content": b"third", "more_content": False, "position": position})
    sent = answer(layer, "/echo/", method="POST", body=first, body_channel="http.request.body?x")
    assert sent[0]["status"] == 408


def test_a_request_made_by_hand_raises_for_it(layer: InMemoryChannelLayer) -> None:
    made = request(layer, body=b"x", body_channel="http.request.body?b")
    with pytest.raises(RequestTimeout):
        Impatient.request_class(made)
    layer.send("http.request.body?b", {"closed": True})
    with pytest.raises(RequestAborted):
        AsgiRequest(made)


# Responses


def test_a_long_response_goes_in_chunks(layer: InMemoryChannelLayer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 1200)
    sent = answer(layer, f"/file/?name={tmp_path / 'file'}")
    assert body_of(sent) == bytes(range(256)) * 1200
    assert max(len(reply["content"]) for reply in sent) == AsgiHandler.chunk_size
    sent = answer(layer, "/echo/", body=b"x" * 300_000)
    assert [len(reply["content"]) for reply in sent] == [131_072, 131_072, 37_856]
    sent = answer(layer, "/echo/", body=b"x" * 262_144)
    assert [(len(reply["content"]), reply["more_content"]) for reply in sent] == [(131_072, True), (131_072, False)]


def test_a_streamed_response_goes_part_by_part(layer: InMemoryChannelLayer) -> None:
    sent = answer(layer, "/stream/?parts=2")
    assert [reply["content"] for reply in sent] == [b"part 0;", b"part 1;", b""]
    assert [reply.get("status") for reply in sent] == [200, None, None]
    assert views.events == ["part 0", "part 1", "closed"]


def test_an_error_in_the_middle_cuts_the_response(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(KeyError):
        answer(layer, "/stream/?parts=1&fail=1")
    assert replies(layer)[1:] == [{"closed": True}]
    with pytest.raises(KeyError):
        answer(layer, "/stream/?parts=0&fail=1")
    assert replies(layer)[0]["status"] == 500


def test_the_view_is_stopped_when_the_client_has_gone(layer: InMemoryChannelLayer) -> None:
    layer.send("http.response.ack?a", {"closed": True})
    answer(layer, "/stream/?parts=1000", ack_channel="http.response.ack?a", window=8)
    assert len(views.events) < 10
    assert views.events[-1] == "closed"


@pytest.mark.usefixtures("database")
def test_views_and_iterators_may_be_asynchronous(layer: InMemoryChannelLayer) -> None:
    assert body_of(answer(layer, "/asynchronous/")) == b"0 groups"
    sent = answer(layer, "/stream-asynchronously/")
    assert [reply["content"] for reply in sent] == [b"", b"part 0;", b"part 1;", b"part 2;", b""]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("raised", ["later", "error"])
def test_a_view_with_atomic_requests(raised: str, layer: InMemoryChannelLayer) -> None:
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        sent = answer(layer, f"/save/?name={raised}&raise={raised}")
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert [reply["status"] for reply in sent] == ([] if raised == "later" else [500])
    assert apps.get_model("auth.Group").objects.filter(name=raised).exists() == (raised == "later")


def test_a_consumer_may_answer_by_hand_or_later(layer: InMemoryChannelLayer) -> None:
    def by_hand(message: Message) -> None:
        path = AsgiRequest(message).path
        for chunk in AsgiHandler.encode_response(HttpResponse(f"by hand: {path}")):
            message.reply_channel.send(chunk)

    def later(message: Message) -> None:
        raise ResponseLater

    for path in ("/hand/", "/later/", "/cookies/"):
        layer.send("http.request", request(layer, path).content)
    routing = [
        route("http.request", by_hand, path="^/hand"),
        route("http.request", later, path="^/later"),
        route("http.request", ViewConsumer()),
    ]
    worker = Worker(layer, routing, burst=True)
    worker.run()
    assert worker.dispatcher.failed == 0
    assert [reply["content"] for reply in replies(layer)] == [b"by hand: /hand/", b"ok"]


@pytest.mark.usefixtures("database")
def test_a_consumer_of_requests_knows_the_user_of_the_browser(layer: InMemoryChannelLayer) -> None:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.backends.db import SessionStore

    from workers.auth import http_session_user

    user = get_user_model().objects.create_user("ada")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()

    @http_session_user
    def name(message: Message) -> None:
        message.http_session["seen"] = AsgiRequest(message).path
        for chunk in AsgiHandler.encode_response(HttpResponse(message.user.username)):
            message.reply_channel.send(chunk)

    name(request(layer, headers=[[b"host", b"shop"], [b"cookie", f"sessionid={session.session_key}".encode()]]))
    assert body_of(replies(layer)) == b"ada"
    assert SessionStore(session_key=session.session_key)["seen"] == "/facts/"


@pytest.mark.parametrize("wrong", [{"headers": [[b"host"]]}, {"headers": None}, {"body": 5}])
def test_a_message_that_is_no_request_is_a_500_and_an_error_of_the_consumer(
    wrong: Any, layer: InMemoryChannelLayer
) -> None:
    content = {**request(layer).content, **wrong}
    with pytest.raises((TypeError, ValueError, AttributeError)):
        ViewConsumer()(Message(content, "http.request", layer))
    assert [reply["status"] for reply in replies(layer)] == [500]


@pytest.mark.parametrize("response", [StreamingHttpResponse([], status=304), HttpResponse(b"", status=304)])
def test_an_empty_response_is_one_message(response: Any) -> None:
    (reply,) = AsgiHandler.encode_response(response)
    assert (reply["status"], reply["content"], reply["more_content"]) == (304, b"", False)


def test_a_response_of_parts_larger_than_a_chunk() -> None:
    class Small(AsgiHandler):
        chunk_size = 4

    assert list(Small.chunk_bytes(b"")) == [(b"", True)]
    assert list(Small.chunk_bytes(b"1234")) == [(b"1234", True)]
    assert list(Small.chunk_bytes(b"12345")) == [(b"1234", False), (b"5", True)]
    sent = Small.encode_response(FileResponse(io.BytesIO(b"123456")))
    assert [reply["content"] for reply in sent] == [b"1234", b"56", b""]


def test_a_request_without_a_reply_channel_is_refused(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(ValueError, match="no reply_channel"):
        ViewConsumer()(request(layer, reply_channel=None))
