"""The entry of a worker in the registry of its layer."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer, __version__
from asgi_redis.embedded import RedisServer
from asgi_redis.process import identity
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.unit.workers.operations.conftest import Start
from workers import Worker, route
from workers.operations.registration import description
from workers.runtime.dispatcher import Running

LayerFor = Callable[..., RedisChannelLayer]


@pytest.fixture
def layer(layer_for: LayerFor, redis_server: RedisServer) -> RedisChannelLayer:
    return layer_for(redis_server)


def entries(layer: RedisChannelLayer) -> dict[int, dict[str, Any]]:
    """Returns the reports by pid."""
    return {entry.report["pid"]: dict(entry.report) for entry in layer.registry.processes()}


@pytest.mark.parametrize("pool", ["thread", "gevent"])
def test_a_worker_tells_who_it_is_and_what_it_does(
    start: Start, layer: RedisChannelLayer, notes: Notes, pool: str
) -> None:
    flags = ["--pool", pool, "--concurrency", "2", "--limit", "hold=1", "--exclude-channels", "grow"]
    worker = start(*flags)
    worker.listens()
    eventually(lambda: worker.pid in entries(layer))
    report = entries(layer)[worker.pid]
    assert {name: report[name] for name in ("role", "pool", "slots", "busy", "version")} == {
        "role": "worker",
        "pool": pool,
        "slots": 2,
        "busy": 0,
        "version": __version__,
    }
    assert set(report["channels"]) >= {"work", "hold", "fail"}
    assert "grow" not in report["channels"]
    assert report["limits"] == {"hold": 1}
    layer.send("fail", {"n": 1})
    layer.send("hold", {"n": 1})
    eventually(lambda: entries(layer)[worker.pid]["busy"] == 1 and entries(layer)[worker.pid]["failed"] == 1)
    report = entries(layer)[worker.pid]
    assert report["popping"]
    assert report["done"] == 1
    assert report["pulled"] < 10
    (running,) = report["running"]
    assert (running["channel"], running["consumer"]) == ("hold", "tests.support.workers.consumers.hold")
    assert running["seconds"] >= 0
    worker.signal(signal.SIGTERM)
    eventually(lambda: entries(layer)[worker.pid]["stopping"])
    notes.go()
    assert worker.wait() == 0
    assert entries(layer) == {}


def test_a_worker_that_is_asked_to_be_quiet_finishes_its_messages_and_ends(
    start: Start, layer: RedisChannelLayer, notes: Notes
) -> None:
    worker = start("--threads", "2")
    layer.send("hold", {"n": 1})
    eventually(lambda: layer.registry.processes())
    eventually(lambda: notes.numbers("started") == [1])
    (entry,) = layer.registry.processes()
    assert layer.registry.ask(entry.process, "quiet")
    eventually(lambda: entries(layer)[worker.pid]["stopping"])
    with redis.Redis(port=layer._shards[0].server.host.address[1], protocol=2) as client:
        name = f":{worker.pid}"
        # Its last wait has ended: a message that comes in that moment is handled, too.
        eventually(lambda: all("b" not in one["flags"] for one in client.client_list() if one["name"].endswith(name)))
    layer.send("work", {"n": 2})
    notes.go()
    assert worker.wait() == 0
    assert notes.numbers("done") == [1]
    assert layer.channel_statistics("work")["messages_pending"] == 1


def test_a_killed_worker_is_in_the_registry_until_its_entry_expires(start: Start, layer: RedisChannelLayer) -> None:
    worker = start()
    eventually(lambda: worker.pid in entries(layer))
    worker.signal(signal.SIGKILL)
    worker.wait()
    (entry,) = layer.registry.processes()
    key = layer._keys[0].process(entry.process.encode())
    with redis.Redis(port=layer._shards[0].server.host.address[1], protocol=2) as client:
        assert 0 < client.ttl(key) <= 15


def test_each_of_several_processes_has_an_entry(start: Start, layer: RedisChannelLayer) -> None:
    worker = start("--processes", "2")
    eventually(lambda: len(entries(layer)) == 2, timeout=40)
    assert worker.pid not in entries(layer)
    worker.stop()
    assert entries(layer) == {}


def test_a_report_names_a_thousand_channels_and_limits_and_a_hundred_messages_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routing = [route(f"channel{n}", print) for n in range(1500)]
    worker = Worker(InMemoryChannelLayer(), routing, limits=[("*", 2)])
    running = [Running("a", "consumer", 0.0, 0)] * 150
    monkeypatch.setattr(worker.dispatcher, "running", lambda: running)
    report = description(worker)
    assert (report["busy"], len(report["running"])) == (150, 100)
    assert len(report["channels"]) == len(report["limits"]) == 1000
    assert report["limits"].keys() == {*report["channels"]}


def test_its_connections_have_its_name(start: Start, redis_server: RedisServer, layer: RedisChannelLayer) -> None:
    worker = start()
    eventually(lambda: worker.pid in entries(layer))
    with redis.Redis(port=redis_server.port or 0, protocol=2, decode_responses=True) as client:
        names = {connection["name"] for connection in client.client_list()}
    assert any(name.startswith("asgi-redis:worker:") and name.endswith(f":{worker.pid}") for name in names)
    assert identity.client_name() in names
