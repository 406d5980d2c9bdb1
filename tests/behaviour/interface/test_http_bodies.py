"""Large bodies of requests and responses, and clients and workers that are slow with them."""

from __future__ import annotations

import random
import threading

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from tests.support.interface.connections import Connection
from tests.support.interface.stand_in import Echo, Quiet
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

MEBIBYTE = 1 << 20
PART = 128 * 1024


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class Uploads(Echo):
    """Answers with the sizes of the parts that came."""

    def __init__(self):
        self.bodies = []

    def request(self, worker, message):
        self.bodies.append(worker.whole_body(message))
        worker.reply(message, {"status": 200, "headers": [], "content": b"taken"})


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 3 * MEBIBYTE + 17])
def test_a_body_arrives_whole(interface_for, size):
    answer = Uploads()
    running = interface_for(answer)
    body = noise(size)
    assert running.site.http().request("POST", "/", body).body == b"taken"
    assert answer.bodies == [body]
    (message,) = running.worker.of("http.request")
    assert len(message["body"]) <= PART
    assert ("body_channel" in message) == (size > PART)


@pytest.mark.parametrize("size", [0, 5, 2 * MEBIBYTE])
def test_a_body_in_chunks_arrives_whole(interface_for, size):
    answer = Uploads()
    running = interface_for(answer)
    body = noise(size)
    parts = [body[start : start + 10_007] for start in range(0, size, 10_007)]
    assert running.site.http().request("PUT", "/", parts).body == b"taken"
    assert answer.bodies == [body]


def test_an_upload_may_take_longer_than_the_answer(interface_for):
    running = interface_for(http_timeout=2.0)
    size = 9 * PART
    with Connection(running.site.port) as client:
        client.write(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        for sent in range(9):
            assert not client.readable(0.3), f"answered after {sent} of 9 parts"
            client.write(bytes(PART))
        assert client.read_until(b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_the_parts_of_a_body_are_bounded_messages_on_a_channel_of_one_reader(interface_for):
    running = interface_for(Quiet())
    client = running.site.http()
    body = noise(MEBIBYTE)
    client.start("POST", "/", body)
    (message,) = running.worker.sees("http.request")
    assert message["body_channel"].startswith("http.request.body?")
    received, more = message["body"], True
    while more:
        _, part = running.layer.receive([message["body_channel"]], block=True)
        assert set(part) == {"content", "more_content", "position"}
        assert len(part["content"]) <= PART
        assert part["position"] == len(received)
        received += part["content"]
        more = part["more_content"]
    assert received == body
    running.worker.reply(message, {"status": 204, "headers": [], "content": b""})
    assert client.answer().status == 204


def test_a_body_that_no_worker_reads_is_not_taken_in(interface_for):
    """The channel of the body fills, and then TCP pushes back on the client; nothing is lost when it is read."""
    answer = Uploads()
    running = interface_for(answer)
    running.worker.hold()
    size = 60 * MEBIBYTE
    client = running.site.http()
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    part = noise(MEBIBYTE)
    written = client.write_until_refused(part, limit=size)
    assert written < 40 * MEBIBYTE
    running.worker.go()
    sender = threading.Thread(target=lambda: client.write((part * (size // MEBIBYTE))[written:]))
    sender.start()
    assert client.answer().body == b"taken"
    sender.join()
    assert answer.bodies[0] == part * (size // MEBIBYTE)


@pytest.fixture(params=["memory", "redis"])
def layer(request, prefix):
    """A layer whose calls end at once, and one whose calls take their time."""
    if request.param == "memory":
        return InMemoryChannelLayer()
    return RedisChannelLayer(hosts=[request.getfixturevalue("redis_server").url], prefix=prefix)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_in_the_middle_of_its_body_closes_the_channel(layer, interface_for, how):
    answer = Uploads()
    running = interface_for(answer, layer=layer)
    client = running.site.http()
    client.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + noise(300_000))
    running.worker.sees("http.request")
    getattr(client, how)()
    eventually(lambda: answer.bodies == [None])
    (disconnect,) = running.worker.sees("http.disconnect")
    assert disconnect["path"] == "/up"


def test_a_worker_may_answer_before_the_body_has_come(interface_for):
    class Early(Quiet):
        def request(self, worker, message):
            worker.reply(message, {"status": 403, "headers": [], "content": b"no"})

    running = interface_for(Early())
    client = running.site.http()
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + noise(400_000))
    answer = client.answer()
    assert (answer.status, answer.body) == (403, b"no")
    assert running.site.http().request("GET", "/after").status == 403


def test_an_expectation_is_answered_before_the_body_is_sent(interface_for):
    running = interface_for()
    client = running.site.http()
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
    client.write(b"body")
    assert client.answer().body == b"body"


class Downloads(Quiet):
    """Answers with a long body, and keeps to the window as this package's workers do."""

    def __init__(self, size):
        self.content = noise(size)
        self.unacknowledged = 0
        self.acknowledgements = []

    def request(self, worker, message):
        threading.Thread(target=self.send, args=(worker, message), daemon=True).start()

    def send(self, worker, message):
        window, sent, written = message["window"], 0, 0
        content = self.content
        while sent < len(content):
            part = content[sent : sent + 64 * 1024]
            while sent + len(part) - written > window:
                _, ack = worker.layer.receive([message["ack_channel"]], block=True)
                self.acknowledgements.append(ack)
                if ack is None:
                    continue
                if ack.get("closed"):
                    return
                written = ack["written"]
            sent += len(part)
            self.unacknowledged = max(self.unacknowledged, sent - written)
            head = {"status": 200, "headers": []} if sent == len(part) else {}
            worker.reply(message, {**head, "content": part, "more_content": sent < len(content)})


def begun(interface_for, layer, answer):
    """What runs, and a slow client who has read the head of a download."""
    running = interface_for(answer, layer=layer)
    client = running.site.http(receive_buffer=4096)
    client.start()
    client.answer_head()
    return running, client


def test_a_long_response_to_a_slow_client_waits_at_the_worker(layer, interface_for):
    answer = Downloads(40 * MEBIBYTE)
    running, client = begun(interface_for, layer, answer)
    chunks = client.chunks()
    received = [next(chunks)]
    (message,) = running.worker.of("http.request")
    assert message["ack_channel"].startswith("http.response.ack?")
    received += chunks
    assert b"".join(received) == answer.content
    assert answer.unacknowledged <= message["window"]
    written = [ack["written"] for ack in answer.acknowledgements]
    assert written == sorted(written)


def test_the_worker_of_a_long_response_hears_that_the_client_has_gone(layer, interface_for):
    answer = Downloads(40 * MEBIBYTE)
    running, client = begun(interface_for, layer, answer)
    client.reset()
    eventually(lambda: answer.acknowledgements[-1:] == [{"closed": True}])
    assert running.worker.sees("http.disconnect")


def test_a_short_response_has_no_acknowledgement(interface_for):
    running = interface_for()
    running.site.http().request()
    (message,) = running.worker.of("http.request")
    assert running.layer.receive([message["ack_channel"]]) == (None, None)
