"""The server behind ``--web``: its answers, and clients that are hostile, slow or many."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from asgi_redis import InMemoryChannelLayer
from asgi_redis.monitor.web import server as server_module
from asgi_redis.monitor.web.answers import TOKEN_FIELD
from asgi_redis.monitor.web.files import FILES
from asgi_redis.monitor.web.server import MAX_CONNECTIONS, MAX_FORM, MonitorServer
from tests.support.monitor.serving import serving
from tests.support.waiting import eventually

HOSTILE = 'web<script>alert(1)</script>"'


class Client:
    """Asks a server; ``values`` make it a POST."""

    def __init__(self, server: MonitorServer) -> None:
        self.address = server.server_address[:2]
        self.url = server.url.rstrip("/")

    def ask(
        self, path: str, values: Any = None, method: str = "", headers: Any = None, body: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=20)  # type: ignore[misc]
        with contextlib.closing(connection):
            if values is not None:
                body = urllib.parse.urlencode(values)
            method = method or ("GET" if values is None else "POST")
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    def json(self, path: str, values: Any = None, **options: Any) -> tuple[int, Any]:
        status, headers, content = self.ask(path, values, **options)
        assert headers["Content-Type"] == "application/json"
        return status, json.loads(content)

    @property
    def token(self) -> str:
        token: str = self.json("/facts")[1]["token"]
        return token

    def act(self, path: str, **values: str) -> tuple[int, Any]:
        return self.json(path, {TOKEN_FIELD: self.token, **values})


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    with InMemoryChannelLayer() as layer:
        yield layer


@pytest.fixture
def server(layer: InMemoryChannelLayer) -> Iterator[MonitorServer]:
    with serving(layer, allow_actions=True, content=True) as running:
        yield running


@pytest.fixture
def client(server: MonitorServer) -> Client:
    return Client(server)


@pytest.fixture
def careful(layer: InMemoryChannelLayer) -> Iterator[Client]:
    """A client of a server that allows nothing."""
    with serving(layer) as running:
        yield Client(running)


def test_the_facts_are_those_of_the_layer(client: Client, layer: InMemoryChannelLayer) -> None:
    layer.send("mail", {"text": "hello"})
    layer.group_add("chat", "mail")
    assert layer.registry is not None
    layer.registry.report("w1", {"role": "worker", "host": HOSTILE, "pid": 7, "channels": ["other"]})

    def shown() -> Any:
        facts = client.json("/facts")[1]
        channels = {row["channel"]: row for row in facts["snapshot"]["channels"]}
        assert channels["mail"]["waiting"] == 1
        assert "no reader" in channels["mail"]["marks"]
        return facts

    facts = eventually(shown)
    assert facts["may"] == {"act": True, "read": True}
    assert facts["note"] == ""
    assert [group["group"] for group in facts["snapshot"]["groups"]] == ["chat"]
    assert [process["host"] for process in facts["snapshot"]["processes"]] == [HOSTILE]


def test_the_monitor_runs_while_the_page_is_open(layer: InMemoryChannelLayer) -> None:
    with serving(layer) as running:
        assert not running.watched.watching
        Client(running).json("/facts")
        assert running.watched.watching
    assert not running.watched.watching


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_of_the_page_may_load_nothing_from_elsewhere(client: Client, name: str) -> None:
    status, headers, content = client.ask(f"/{name}")
    assert status == 200
    assert content
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    again, _, nothing = client.ask(f"/{name}", headers={"If-None-Match": headers["ETag"]})
    assert (again, nothing) == (304, b"")


def test_a_head_has_no_body(client: Client) -> None:
    status, headers, content = client.ask("/", method="HEAD")
    assert (status, content) == (200, b"")
    assert int(headers["Content-Length"]) > 1000


def test_facts_are_stored_nowhere(client: Client) -> None:
    assert client.ask("/facts")[1]["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/../server.py", 404),
        ("GET", "/page/page.html", 404),
        ("GET", "/%2e%2e/server.py", 404),
        ("GET", "/purge?channel=mail", 405),
        ("PUT", "/facts", 501),
        ("GET", "/peek", 400),
        ("GET", "/peek?channel=no+name", 400),
    ],
)
def test_there_is_nothing_else(client: Client, method: str, path: str, status: int) -> None:
    assert client.ask(path, method=method)[0] == status


def test_a_peek_shows_ages_and_sizes_and_takes_nothing(client: Client, layer: InMemoryChannelLayer) -> None:
    layer.send("mail", {"text": HOSTILE, "raw": b"\xff"})
    status, answer = client.json("/peek?channel=mail")
    assert status == 200
    (message,) = answer["messages"]
    assert sorted(message) == ["age", "channel", "size"]
    assert message["size"] > len(HOSTILE)
    (message,) = client.json("/peek?channel=mail&content=1")[1]["messages"]
    assert json.loads(message["content"]) == {"text": HOSTILE, "raw": "\\xff"}
    assert layer.receive(["mail"])[0] == "mail"


def test_content_takes_the_permission(careful: Client, layer: InMemoryChannelLayer) -> None:
    layer.send("mail", {"text": "secret"})
    assert careful.json("/peek?channel=mail")[0] == 200
    status, answer = careful.json("/peek?channel=mail&content=1")
    assert status == 403
    assert "--content" in answer["error"]


def test_a_purge_deletes_what_waits(client: Client, layer: InMemoryChannelLayer) -> None:
    for _ in range(3):
        layer.send("mail", {})
    assert client.act("/purge", channel="mail") == (200, {"deleted": 3})
    assert layer.receive(["mail"]) == (None, None)


def test_a_worker_is_asked_to_be_quiet(client: Client, layer: InMemoryChannelLayer) -> None:
    assert layer.registry is not None
    layer.registry.report("w1", {"role": "worker"})
    assert client.act("/quiet", process="w1") == (200, {"asked": True})
    assert layer.registry.report("w1", {"role": "worker"}) == "quiet"
    assert client.act("/quiet", process="gone") == (200, {"asked": False})


def test_actions_take_the_permission(careful: Client, layer: InMemoryChannelLayer) -> None:
    layer.send("mail", {})
    status, answer = careful.act("/purge", channel="mail")
    assert status == 403
    assert "--allow-actions" in answer["error"]
    assert layer.receive(["mail"])[0] == "mail"


class TestForeignSites:
    @pytest.fixture(autouse=True)
    def _message(self, layer: InMemoryChannelLayer) -> Iterator[None]:
        layer.send("mail", {})
        yield
        assert layer.receive(["mail"])[0] == "mail"

    @pytest.mark.parametrize("token", ["", "x", "é"])
    def test_an_action_needs_the_token(self, client: Client, token: str) -> None:
        assert client.json("/purge", {TOKEN_FIELD: token, "channel": "mail"})[0] == 403

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_an_action_is_not_taken_from_another_site(self, client: Client, headers: Any) -> None:
        values = {TOKEN_FIELD: client.token, "channel": "mail"}
        status, answer = client.json("/purge", values, headers=headers)
        assert (status, answer) == (403, {"error": "this request comes from another site"})

    @pytest.mark.parametrize("path", ["/", "/facts", "/peek?channel=mail"])
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[", "@"])
    def test_a_name_that_was_pointed_here_is_not_answered(self, client: Client, host: str, path: str) -> None:
        assert client.json(path, headers={"Host": host})[0] == 421

    def test_nor_is_one_that_comes_with_a_local_name(self, server: MonitorServer) -> None:
        with socket.create_connection(server.server_address[:2], 10) as connection:
            connection.sendall(b"GET /facts HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.0 421 ")

    def test_nor_is_an_action_for_it(self, client: Client) -> None:
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert client.json("/purge", {TOKEN_FIELD: client.token, "channel": "mail"}, headers=headers)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "LOCALHOST", "127.0.0.1:1", "[::1]:80", "10.0.0.7"])
def test_local_names_and_addresses_are_answered(client: Client, host: str) -> None:
    assert client.json("/facts", headers={"Host": host})[0] == 200


def test_its_own_page_may_act(client: Client, layer: InMemoryChannelLayer) -> None:
    layer.send("mail", {})
    headers = {"Origin": client.url, "Sec-Fetch-Site": "same-origin"}
    values = {TOKEN_FIELD: client.token, "channel": "mail"}
    assert client.json("/purge", values, headers=headers) == (200, {"deleted": 1})


@pytest.mark.parametrize(
    ("length", "status"),
    [("", b"411"), ("-1", b"411"), ("x", b"411"), (str(MAX_FORM + 1), b"413"), ("9" * 5000, b"413")],
)
def test_a_form_has_a_length_within_bounds(server: MonitorServer, length: str, status: bytes) -> None:
    field = f"Content-Length: {length}\r\n" if length else ""
    with connect(server, f"POST /purge HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode()) as made:
        assert made.recv(1000).split()[1] == status


def connect(server: MonitorServer, request: bytes = b"") -> socket.socket:
    made = socket.create_connection(server.server_address[:2], timeout=20)
    made.sendall(request)
    return made


def is_closed(made: socket.socket) -> bool:
    made.setblocking(False)
    try:
        return made.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_slow_request_is_given_up(server: MonitorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if a byte comes now and then."""
    monkeypatch.setattr(server_module, "CONNECTION_SECONDS", 0.2)
    with connect(server, b"GET / HTTP/1.1\r\nX: ") as made:

        def given_up() -> bool:
            with contextlib.suppress(ConnectionError):
                made.sendall(b"x")
            return is_closed(made)

        eventually(given_up)


def test_many_slow_clients_keep_nobody_out(server: MonitorServer, client: Client) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(server, b"GET / HT")) for _ in range(MAX_CONNECTIONS)]
        assert client.json("/facts")[0] == 200
        eventually(lambda: sum(map(is_closed, slow)) == 1)


def test_a_failure_of_the_layer_is_told(
    client: Client, layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RedisConnectionError("the server is away")

    monkeypatch.setattr(layer.inspector, "peek", fail)
    assert client.json("/peek?channel=mail") == (502, {"error": "the server is away"})


def test_a_name_that_is_none_is_a_mistake_of_the_request(client: Client) -> None:
    status, answer = client.json("/peek?channel=not%20valid")
    assert status == 400
    assert "'not valid' is not a valid channel name" in answer["error"]


def test_numbers_that_json_does_not_have_reach_no_browser(client: Client, layer: InMemoryChannelLayer) -> None:
    assert layer.registry is not None
    layer.registry.report("w1", {"role": "worker", "pulled": float("inf")})
    process = eventually(lambda: client.json("/facts")[1]["snapshot"]["processes"])[0]
    assert process["pulled"] is None
