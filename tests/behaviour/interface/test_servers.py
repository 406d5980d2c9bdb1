"""What is the same under each ASGI server, and what one of them lacks."""

from __future__ import annotations

import contextlib
import time

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.interface.serving import SERVERS, ServerProcess
from tests.support.interface.stand_in import Echo, StandIn
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

MEBIBYTE = 1 << 20
DENIES_WITH_A_RESPONSE = {"uvicorn", "uvicorn-sansio", "uvicorn-h11-wsproto", "hypercorn", "granian"}


def sent_code(kind, code):
    """What a client gets for a code: daphne sends none from 1001 to 2999."""
    return code + 3000 if kind == "daphne" else code


def code_of_client(kind, code):
    """What a worker gets for the code of a client: hypercorn tells normal ends from others, and nothing more."""
    return 1006 if kind == "hypercorn" else code


class Worker(Echo):
    """Echoes; refuses websockets to /no, and accepts a subprotocol that was asked for."""

    def connect(self, worker, message):
        if message["path"] == "/no":
            worker.reply(message, {"accept": False})
        elif message["path"] == "/denied":
            worker.reply(message, {"accept": False, "status": 401, "headers": [[b"x-why", b"a"]], "content": b"who?"})
        elif message["subprotocols"]:
            worker.reply(message, {"accept": True, "subprotocol": message["subprotocols"][-1]})
        else:
            worker.reply(message, {"accept": True})

    def request(self, worker, message):
        if message["path"] == "/stream":
            worker.reply(message, {"status": 200, "headers": [], "content": b"a", "more_content": True})
            worker.reply(message, {"content": b"b", "more_content": True})
            worker.reply(message, {"content": b"c"})
        elif message["path"] == "/cookies":
            cookies = [[b"Set-Cookie", b"a=1"], [b"Set-Cookie", b"b=2"]]
            worker.reply(message, {"status": 202, "headers": cookies, "content": b""})
        elif message["path"] == "/cut":
            worker.reply(message, {"status": 200, "headers": [], "content": b"some", "more_content": True})
            worker.reply(message, {"closed": True})
        elif message["path"] != "/never":
            super().request(worker, message)


class Deployment:
    """A server process, and a stand-in for its workers."""

    def __init__(self, stack, kind, redis_server, prefix, directory, **interface):
        config = {"hosts": [redis_server.url], "prefix": prefix}
        settings = {
            "CHANNEL_LAYERS": {"default": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}},
            "CHANNEL_INTERFACE": interface,
        }
        self.layer = stack.enter_context(RedisChannelLayer(**config))
        self.worker = stack.enter_context(StandIn(self.layer, Worker()))
        self.site = stack.enter_context(ServerProcess(kind, settings, directory))


@pytest.fixture
def deployment_for(redis_server, prefix, tmp_path):
    """``deployment_for(kind, **options)`` starts a server with the interface."""
    with contextlib.ExitStack() as stack:
        yield lambda kind, **options: Deployment(stack, kind, redis_server, prefix, tmp_path, **options)


every_server = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.soak) if "uvicorn-" in kind else kind for kind in SERVERS]
)


@every_server
def test_a_server_serves(deployment_for, kind):
    """All in one test, because a server takes a second to start."""
    deployment = deployment_for(kind, max_frame_bytes=100_000, max_body_bytes=3 * MEBIBYTE)
    site, worker = deployment.site, deployment.worker
    requests(site, worker)
    cut_response(kind, site)
    websockets(kind, site, worker)
    refusals(kind, site, worker)
    limits(kind, site)
    assert "Traceback" not in site.log, site.log


def requests(site, worker):
    client = site.http()
    assert client.request("POST", "/b%C3%A4r?a=%20", b"body", [("X-Two", "1"), ("X-Two", "2")]).body == b"body"
    (message,) = worker.of("http.request")
    assert (message["path"], message["query_string"], message["method"]) == ("/bär", b"a=%20", "POST")
    assert [bytes(value) for name, value in message["headers"] if name == b"x-two"] == [b"1", b"2"]
    assert message["http_version"] == "1.1"
    big = b"\x00\xff" * MEBIBYTE
    assert client.request("POST", "/", big).body == big
    assert (
        client.request("PUT", "/", [big[start : start + 70_000] for start in range(0, len(big), 70_000)]).body == big
    )
    assert client.request("GET", "/stream").body == b"abc"
    answer = client.request("GET", "/cookies")
    assert (answer.status, answer.all("set-cookie")) == (202, ["a=1", "b=2"])
    assert client.request("HEAD", "/cookies").status == 202
    leaving = site.http()
    leaving.start("GET", "/never")
    eventually(lambda: any(m["path"] == "/never" for m in worker.of("http.request")))
    leaving.close()
    assert worker.sees("http.disconnect")[0]["path"] == "/never"


def cut_response(kind, site):
    client = site.http()
    client.start("GET", "/cut")
    assert client.answer_head().status == 200
    parts = client.chunks()
    assert next(parts) == b"some"
    if kind == "daphne":  # an application has no way to tell it
        assert not client.readable(0.5)
        client.close()
    else:
        with pytest.raises((EOFError, ConnectionError)):
            next(parts)


def websockets(kind, site, worker):
    client = site.websocket("/chat?a=b", subprotocols=["one", "two"])
    (connect,) = worker.of("websocket.connect")
    assert (connect["path"], connect["query_string"], connect["scheme"]) == ("/chat", b"a=b", "ws")
    assert connect["subprotocols"] == ["one", "two"]
    assert client.subprotocol == "two"
    sent = ["text", b"bytes", "ä€\U0001f600", b"\x00\xff" * 40_000]
    for data in sent:
        client.send(data)
    assert [client.receive() for _ in sent] == sent
    assert [message["order"] for message in worker.of("websocket.receive")] == [1, 2, 3, 4]
    worker.layer.group_add("room", connect["reply_channel"])
    worker.layer.send_group("room", {"text": "all"})
    assert client.receive() == "all"
    client.close_with(4321)
    client.close_code()
    (disconnect,) = worker.sees("websocket.disconnect")
    assert (disconnect["code"], disconnect["order"]) == (code_of_client(kind, 4321), 5)
    worker.sees("websocket.disconnect")
    other = site.websocket("/closed")
    worker.reply(worker.of("websocket.connect")[-1], {"text": "bye", "close": 4000})
    assert other.receive() == "bye"
    assert other.close_code() == 4000
    assert worker.sees("websocket.disconnect", 2)[-1]["code"] == 4000


def refusals(kind, site, worker):
    assert site.handshake("/no").refused().status == 403
    answer = site.handshake("/denied").refused()
    if kind in DENIES_WITH_A_RESPONSE:
        assert (answer.status, answer.header("x-why"), answer.body) == (401, "a", b"who?")
    else:
        assert answer.status == 403


def limits(kind, site):
    client = site.websocket("/large")
    client.send("x" * 100_001)
    assert client.close_code() == sent_code(kind, 1009)
    large = site.http()
    large.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (3 * MEBIBYTE + 1))
    if kind == "daphne":  # it reads all of a body before the application sees the request
        large.write(b"x" * (3 * MEBIBYTE + 1))
    assert large.answer().status == 413
    assert site.http().request("GET", "/", headers=[("X", "a" * 15_000)]).status == 200


@every_server
def test_at_the_end_of_a_server_each_websocket_gets_1012_and_its_disconnect_is_sent(deployment_for, kind):
    deployment = deployment_for(kind)
    clients = [deployment.site.websocket(f"/{number}") for number in range(3)]
    started = time.monotonic()
    deployment.site.shut_down()
    assert [client.close_code() for client in clients] == [sent_code(kind, 1012)] * 3
    assert time.monotonic() - started < 8
    disconnects = deployment.worker.sees("websocket.disconnect", 3)
    assert {message["path"] for message in disconnects} == {"/0", "/1", "/2"}
    assert {message["code"] for message in disconnects} == {1012}
    deployment.site.process.wait(15)
    assert "Traceback" not in deployment.site.log, deployment.site.log


@pytest.mark.soak
@every_server
def test_a_server_without_clients_ends_at_once(deployment_for, kind):
    deployment = deployment_for(kind)
    assert deployment.site.http().request().status == 200
    started = time.monotonic()
    deployment.site.shut_down()
    deployment.site.process.wait(15)
    assert time.monotonic() - started < 8
    assert "Traceback" not in deployment.site.log, deployment.site.log


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn", "granian"])
def test_a_wrong_setting_stops_the_server_at_its_start(kind, tmp_path):
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "asgi_redis.InMemoryChannelLayer"}}}
    site = ServerProcess(kind, {**settings, "CHANNEL_INTERFACE": {"max_socket": 5}}, tmp_path)
    try:
        eventually(lambda: "max_socket" in site.log, 20)
        assert "max_sockets" in site.log
    finally:
        site.__exit__()
