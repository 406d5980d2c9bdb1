"""What a classic project does, end to end, under Channels' own worker and under ours, with one slot and with four."""

from __future__ import annotations

import contextlib
import http.client
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_redis.embedded import RedisServer
from benchmarks.channels1.client import Closed, Refused
from tests.channels1.stack import DJANGO, Stack

WORKERS = {
    "theirs": ("theirs", "1", []),
    "theirs-threads": ("theirs", "4", []),
    "ours": ("ours", "1", []),
    "ours-threads": ("ours", "4", []),
    "theirs-threads-sharded": ("theirs", "4", ["sharded"]),
    "ours-threads-sharded": ("ours", "4", ["sharded"]),
    "theirs-interface": ("theirs", "4", ["interface"]),
    "ours-interface": ("ours", "4", ["interface"]),
}


@pytest.fixture(scope="module", params=list(WORKERS.values()), ids=list(WORKERS))
def site(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A deployment with a worker; all tests of the same worker share it."""
    whose, threads, options = request.param
    servers = request.getfixturevalue("three_redis_servers") if "sharded" in options else [redis_server]
    layer = {"hosts": [server.url for server in servers], "prefix": f"t{uuid.uuid4().hex[:12]}"}
    with Stack(layer, database, tmp_path_factory.mktemp("logs")) as stack:
        if "interface" in options:
            stack.interface()
        else:
            stack.daphne()
        stack.worker(whose, "--threads", threads)
        yield stack


@contextlib.contextmanager
def http_connection(site: Stack) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


def log_in(site: Stack, name: str) -> str:
    """Returns the session's cookie."""
    with http_connection(site) as connection:
        connection.request("GET", f"/login/{name}")
        response = connection.getresponse()
        assert json.loads(response.read()) == {"user": name}
        return response.headers["Set-Cookie"].partition(";")[0]


@pytest.fixture
def room() -> str:
    return f"room{uuid.uuid4().hex[:8]}"


def test_a_view_answers(site):
    with http_connection(site) as connection:
        for _ in range(3):
            connection.request("GET", "/")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"hello")
        connection.request("GET", "/nowhere")
        response = connection.getresponse()
        assert response.status == 404
        response.read()


def test_bytes_arrive_and_come_back_as_they_are_and_the_session_is_kept(site):
    body = bytes(range(256)) * 4000  # Channels cuts an answer of this size into several messages
    cookies: dict[str, str] = {}
    with http_connection(site) as connection:
        for number in ("1", "2"):
            connection.request("POST", "/echo?q=%C3%A4%20b", body, cookies)
            response = connection.getresponse()
            assert response.read() == body
            assert response.headers["X-Requests"] == number
            assert response.headers["X-Query"] == "ä b"
            cookies = {"Cookie": (response.headers["Set-Cookie"] or "").partition(";")[0]}


def test_a_chat_with_a_group_and_the_users_of_the_http_session(site, room):
    alice = log_in(site, "alice")
    with site.websocket(f"/chat/{room}", Cookie=alice) as first:
        assert first.receive() == "alice joins"
        with site.websocket(f"/chat/{room}") as second:
            assert first.receive() == second.receive() == "anonymous joins"
            for number in range(10):
                first.send(f"line {number}")
            # enforce_ordering orders the consumers. With several threads, what they have sent may still overtake:
            # it goes out when they are done, and by then Channels has let the next one in.
            expected = [f"alice: line {number}" for number in range(10)]
            assert sorted(first.receive() for _ in range(10)) == expected
            assert sorted(second.receive() for _ in range(10)) == expected
        assert first.receive() == " leaves"


def test_a_management_command_sends_to_the_group(site, room):
    with site.websocket(f"/chat/{room}") as member:
        assert member.receive() == "anonymous joins"
        ended = site.manage("announce", room, "tea is ready")
        assert ended.returncode == 0, ended.stdout
        assert member.receive() == "tea is ready"


def test_deny_connection_refuses_the_websocket(site):
    with pytest.raises(Refused, match="403"):
        site.websocket("/denied")


def test_a_class_based_consumer_echoes(site):
    with site.websocket("/echo") as client:
        for text in ("one", "zwei äöü", "x" * 5000):
            client.send(text)
            assert client.receive() == text


def test_a_consumer_runs_between_the_signals_with_the_pending_store_open(site):
    with site.websocket("/ask") as client:
        client.send("who")
        _, active, finished = client.receive().split()
        assert (active, finished) == ("True", "False")


def test_sends_go_out_when_the_consumer_returns_and_immediate_ones_at_once(site):
    with site.websocket("/ask") as client:
        client.send("order")
        assert [client.receive(), client.receive()] == ["at once", "kept until the end"]


def test_what_was_sent_before_a_failure_goes_out_and_the_worker_goes_on(site):
    with site.websocket("/ask") as client:
        client.send("fail")
        assert client.receive() == "sent before the failure"
        client.send("who")
        assert client.receive()


def test_a_background_channel_gets_bytes_and_lists(site):
    with site.websocket("/ask") as client:
        client.send("job")
        assert client.receive() == r"b'\x00\xff' [1, [2, 3]]"


def test_consume_later_brings_the_message_back_with_its_count(site):
    with site.websocket("/ask") as client:
        client.send("later")
        assert client.receive() == "after 3 retries"


def test_a_delayed_message_comes_late(site):
    """Channels has a process for it; our worker does it itself."""
    if site.whose == "theirs":
        delay = site.start("rundelay", *DJANGO, "rundelay", "--sleep", "0.05")
        delay.says("Running delay")
    with site.websocket("/ask") as client:
        client.send("delay")
        assert client.receive() == "'late' []"


def test_websocket_close_exception_costs_our_worker_nothing_but_the_message(site):
    """Its ``run`` takes only reply channels named ``websocket...``, which daphne 1.4.2's are not, and raises."""
    if site.whose == "theirs":
        pytest.skip("Channels' own workers die of it")
    with site.websocket("/ask") as client:
        if site.interface_runs:  # its reply channels are named so
            client.send("close")
            with pytest.raises(Closed) as closed:
                client.receive()
            assert closed.value.code == 4001
            return
        for _ in range(4):
            client.send("close")
        client.send("close a job")
        client.send("who")
        assert client.receive()


def test_all_of_a_handshake_takes_no_longer_than_its_messages(site):
    """On shards in particular: nobody waits for the turn of the shard that the message is on."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.websocket("/echo")) for _ in range(12)]
        for client in clients:
            client.send("hello")
        assert [client.receive() for client in clients] == ["hello"] * 12
