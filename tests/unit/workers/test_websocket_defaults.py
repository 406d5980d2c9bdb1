"""What a worker does with messages of websockets that no route takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.fakes import QueueLayer, queue_layer  # noqa: F401  a fixture
from tests.support.workers.processes import MODULE, WorkerProcess
from workers import Worker, include, route
from workers.generic.websockets import WebsocketConsumer

CONNECT, RECEIVE, DISCONNECT = ALL = ["websocket.connect", "websocket.receive", "websocket.disconnect"]


def accept(message: Any) -> None:
    message.reply_channel.send({"accept": "mine"})


def answer(message: Any) -> None:
    message.reply_channel.send({"text": "mine"})


def run(layer: QueueLayer, routing: Any) -> Worker:
    """Serves one message of each kind; none may fail."""
    for channel in ALL:
        layer.put(channel, reply_channel="r!1", path="/other", text="x")
    worker = Worker(layer, routing, burst=True)
    worker.run()
    assert worker.dispatcher.failed == 0
    return worker


@pytest.mark.parametrize(
    "routing",
    [
        pytest.param({RECEIVE: answer}, id="dict"),
        pytest.param([include([route(RECEIVE, answer)])], id="included"),
        pytest.param([route(RECEIVE, answer), route(CONNECT, accept, path="^/mine")], id="filter"),
    ],
)
def test_a_client_that_no_route_takes_is_accepted(routing: Any, layer: QueueLayer) -> None:
    assert {*ALL} <= {*run(layer, routing).channels}
    assert layer.sent == [("r!1", {"accept": True}), ("r!1", {"text": "mine"})]


def test_other_messages_that_no_route_takes_are_dropped_and_nothing_goes_wrong(
    layer: QueueLayer, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(layer, {CONNECT: accept}).dispatcher.done == 3
    assert layer.sent == [("r!1", {"accept": "mine"})]
    assert "No route" not in caplog.text


def test_routes_come_first(layer: QueueLayer) -> None:
    run(layer, [WebsocketConsumer.as_route({"connect": lambda self, message: accept(message)})])
    assert layer.sent == [("r!1", {"accept": "mine"})]


@pytest.mark.parametrize("routing", [{"mail": print}, {"http.request": print, "websocket": print}])
def test_without_a_channel_of_websockets_there_is_nothing_more_to_listen_to(routing: Any, layer: QueueLayer) -> None:
    assert Worker(layer, routing).channels == sorted(routing)


def test_a_worker_may_be_told_to_leave_them_alone(layer: QueueLayer) -> None:
    assert Worker(layer, {RECEIVE: answer}, only_channels=["*.receive"]).channels == [RECEIVE]
    assert Worker(layer, {RECEIVE: answer}, exclude_channels=[CONNECT]).channels == [DISCONNECT, RECEIVE]


SHOP = """
SECRET_KEY = "x"
INSTALLED_APPS = ["workers"]
CHANNEL_LAYERS = {{
    "default": {{
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {{"hosts": ["{url}"], "prefix": "{prefix}"}},
        "ROUTING": "shop.routing",
    }},
}}
routing = {{"websocket.receive": "builtins.print"}}
"""


@pytest.mark.parametrize("django", [True, False], ids=["with Django", "without"])
def test_runworker_says_that_it_listens_to_them_and_accepts(
    django: bool, redis_server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    if django:
        pytest.importorskip("django")
    (tmp_path / "shop.py").write_text(SHOP.format(url=redis_server.url, prefix=prefix))
    flags = ["--layer-url", redis_server.url, "--prefix", prefix, "--routing", "shop.routing"]
    command = [*MODULE, *(["--settings", "shop"] if django else flags)]
    with (
        RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as real,
        WorkerProcess(command, tmp_path, cwd=tmp_path) as worker,
    ):
        worker.listens()
        channels = "asgi.delay, websocket.connect, websocket.disconnect, websocket.receive"
        assert f"Listening on 4 channels ({channels})" in worker.log
        real.send(CONNECT, {"reply_channel": "daphne.response.x!1", "path": "/"})
        assert eventually(lambda: real.receive(["daphne.response.x!"])[1]) == {"accept": True}
        worker.stop()
