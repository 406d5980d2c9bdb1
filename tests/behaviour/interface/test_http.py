"""Requests and responses between a client and a worker."""

from __future__ import annotations

import threading

import pytest

from asgi_redis import InMemoryChannelLayer
from tests.support.interface.stand_in import Echo, Quiet
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


def queued(layer, channel):
    return layer.channel_statistics(channel)["messages_count"]


class Answering(Echo):
    """Answers each request with the same replies."""

    def __init__(self, *replies):
        self.replies = replies

    def request(self, worker, message):
        for reply in self.replies:
            worker.reply(message, reply)


def test_a_request_has_the_keys_of_asgi_1(interface_for):
    running = interface_for()
    client = running.site.http()
    client.request("POST", "/b%C3%A4r/x?q=%20a&b=1", b"body", [("X-Two", "1"), ("x-two", "2"), ("X-Latin", "\xe4")])
    (message,) = running.worker.of("http.request")
    assert message["reply_channel"].startswith("http.response.")
    assert message["http_version"] == "1.1"
    assert message["method"] == "POST"
    assert message["scheme"] == "http"
    assert message["path"] == "/bär/x"
    assert message["query_string"] == b"q=%20a&b=1"
    assert message["root_path"] == ""
    assert message["body"] == b"body"
    assert "body_channel" not in message
    assert message["client"] == list(client.socket.getsockname())
    assert message["server"] == ["127.0.0.1", running.site.port]
    headers = [tuple(pair) for pair in message["headers"]]
    assert [value for name, value in headers if name == b"x-two"] == [b"1", b"2"]
    assert (b"x-latin", b"\xe4") in headers
    assert (b"host", b"testserver") in headers


def test_status_headers_and_content_of_the_reply_arrive(interface_for):
    reply = {"status": 418, "headers": [[b"X-One", b"a"], [b"Set-Cookie", b"a=1"], [b"Set-Cookie", b"b=2"]]}
    running = interface_for(Answering({**reply, "content": b"short and stout"}))
    answer = running.site.http().request()
    assert answer.status == 418
    assert answer.body == b"short and stout"
    assert answer.all("x-one") == ["a"]
    assert answer.all("set-cookie") == ["a=1", "b=2"]


def test_one_connection_carries_one_request_after_the_other(interface_for):
    client = interface_for().site.http()
    assert [client.request("POST", "/", b"%d" % number).body for number in range(20)] == [
        b"%d" % number for number in range(20)
    ]


def test_pipelined_requests_are_answered_in_order(interface_for):
    client = interface_for().site.http()
    for number in range(5):
        client.start("POST", "/", b"%d" % number)
    assert [client.answer("POST").body for number in range(5)] == [b"%d" % number for number in range(5)]


def test_head_is_answered_without_a_body(interface_for):
    running = interface_for(Answering({"status": 200, "headers": [[b"Content-Length", b"5"]], "content": b"12345"}))
    client = running.site.http()
    answer = client.request("HEAD")
    assert (answer.status, answer.header("content-length")) == (200, "5")
    assert client.request().body == b"12345"  # nothing of the first is left on the line
    assert running.worker.of("http.request")[0]["method"] == "HEAD"


def test_a_streamed_response_goes_out_part_by_part(interface_for):
    running = interface_for(Quiet())
    client = running.site.http()
    client.start()
    (message,) = running.worker.sees("http.request")
    running.worker.reply(message, {"status": 200, "headers": [], "content": b"first", "more_content": True})
    assert client.answer_head().status == 200
    parts = client.chunks()
    assert next(parts) == b"first"
    for content in (b"second", b"third"):
        running.worker.reply(message, {"content": content, "more_content": True})
        assert next(parts) == content
    running.worker.reply(message, {"content": b"last"})
    assert list(parts) == [b"last"]


def test_a_head_without_content_goes_out_before_the_content(interface_for):
    """As a server of events sends it."""
    running = interface_for(Quiet())
    client = running.site.http()
    client.start()
    (message,) = running.worker.sees("http.request")
    running.worker.reply(
        message, {"status": 200, "headers": [[b"x-early", b"1"]], "content": b"", "more_content": True}
    )
    assert client.answer_head().header("x-early") == "1"
    running.worker.reply(message, {"content": b"late", "more_content": False})
    assert list(client.chunks()) == [b"late"]


def test_root_path_of_the_server_is_passed_on(interface_for):
    running = interface_for(server={"root_path": "/mount"})
    running.site.http().request("GET", "/page")
    (message,) = running.worker.of("http.request")
    assert (message["root_path"], message["path"]) == ("/mount", "/mount/page")


def test_a_client_that_goes_before_its_answer_is_reported(interface_for):
    running = interface_for(Quiet())
    client = running.site.http()
    client.start("GET", "/slow")
    (request,) = running.worker.sees("http.request")
    client.close()
    (disconnect,) = running.worker.sees("http.disconnect")
    assert disconnect == {"reply_channel": request["reply_channel"], "path": "/slow"}


def test_a_client_that_goes_in_the_middle_of_its_answer_is_reported(interface_for):
    running = interface_for(Answering({"status": 200, "headers": [], "content": b"a", "more_content": True}))
    client = running.site.http()
    client.start("GET", "/slow")
    client.answer_head()
    client.reset()
    (request,) = running.worker.sees("http.request")
    (disconnect,) = running.worker.sees("http.disconnect")
    assert disconnect["reply_channel"] == request["reply_channel"]


def test_a_client_that_goes_after_its_answer_is_not_reported(interface_for):
    running = interface_for()
    first = running.site.http()
    first.request()
    first.reset()
    second = running.site.http()
    second.request("GET", "/later")
    second.close()
    third = running.site.http()
    third.request("GET", "/last")
    assert running.worker.of("http.disconnect") == []


def test_a_full_channel_is_503_with_retry_after(interface_for):
    layer = InMemoryChannelLayer(capacity=1)
    running = interface_for(layer=layer)
    running.worker.hold()
    first, second = running.site.http(), running.site.http()
    first.start("POST", "/", b"first")
    eventually(lambda: queued(layer, "http.request") == 1)
    answer = second.request()
    assert answer.status == 503
    assert int(answer.header("retry-after") or 0) > 0
    running.worker.go()
    assert first.answer().body == b"first"
    assert second.request("POST", "/", b"again").body == b"again"


def test_a_request_that_no_worker_answers_is_504(interface_for):
    running = interface_for(Quiet(), http_timeout=0.2)
    client = running.site.http()
    assert client.request("GET", "/forever").status == 504
    (request,) = running.worker.sees("http.request")
    late = {"status": 200, "headers": [], "content": b"too late"}
    running.worker.reply(request, late)
    assert client.request("GET", "/forever").status == 504, "the late answer belongs to another request"


def test_an_answer_that_stops_in_the_middle_is_cut(interface_for):
    """The client must not take what it has for all of it."""
    running = interface_for(
        Answering({"status": 200, "headers": [], "content": b"some", "more_content": True}), http_timeout=1.0
    )
    client = running.site.http()
    client.start()
    assert client.answer_head().status == 200
    with pytest.raises((EOFError, ConnectionError)):
        list(client.chunks())
    # The worker need not wait for acknowledgements.
    ack_channel = running.worker.of("http.request")[0]["ack_channel"]
    assert running.layer.receive([ack_channel], block=True)[1] == {"closed": True}


def test_the_timeout_counts_from_the_last_part_of_an_answer(interface_for):
    running = interface_for(Quiet(), http_timeout=2.0)
    client = running.site.http()
    client.start()
    (message,) = running.worker.sees("http.request")
    running.worker.reply(message, {"status": 200, "headers": [], "content": b"0", "more_content": True})
    client.answer_head()
    parts = client.chunks()
    assert next(parts) == b"0"
    for number in range(1, 5):
        assert not client.readable(0.6)
        running.worker.reply(message, {"content": b"%d" % number, "more_content": True})
        assert next(parts) == b"%d" % number
    running.worker.reply(message, {"content": b"end"})
    assert list(parts) == [b"end"]


def test_requests_one_by_one_share_a_thread(interface_for):
    client = interface_for().site.http()
    client.request("POST", "/", b"0")
    before = {thread.ident for thread in threading.enumerate() if thread.name == "replies"}
    assert [client.request("POST", "/", b"%d" % number).body for number in range(3)] == [b"0", b"1", b"2"]
    assert {thread.ident for thread in threading.enumerate() if thread.name == "replies"} <= before
