"""``--metrics-port``, as Prometheus sees it."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.servers import pause, resume
from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from tests.support.workers.processes import Notes, WorkerProcess
from tests.support.workers.stand_ins import stand_in
from tests.unit.workers.operations.conftest import Start
from workers.asgi import adapted

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from workers.operations import layer_metrics
from workers.operations.metrics import MetricsServer

Samples = dict[tuple[str, str], float]


def address(worker: WorkerProcess) -> str:
    found: Any = eventually(lambda: re.search(r"Metrics are at (http://127\.0\.0\.1:\d+/metrics)", worker.log), 20)
    return str(found[1])


def scrape(url: str) -> Samples:
    """The samples by name and channel, without the buckets of the histogram but with its last."""
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.headers.get_content_type() == "text/plain"
        text = response.read().decode()
    return {
        (sample.name, sample.labels.get("channel", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "flags",
    [["--threads", "1"], pytest.param(["--pool", "gevent", "--concurrency", "1"], marks=pytest.mark.soak)],
)
def test_each_channel_has_its_samples(start: Start, layer: RedisChannelLayer, notes: Notes, flags: list[str]) -> None:
    if "gevent" in flags:
        pytest.importorskip("gevent")
    worker = start("--metrics-port", "0", *flags)
    url = address(worker)
    assert scrape(url)["runworker_messages_total", "work"] == 0  # from the start, not from the first message
    layer.send("fail", {"n": 0, "kind": "value"})
    layer.send("work", {"n": 1, "seconds": 0.02})
    layer.send("work", {"n": 2})
    eventually(lambda: len(notes["done"]) == 2 and len(notes["started"]) == 3)
    layer.send("linger", {"n": 3})
    eventually(lambda: "3" in notes["started"])
    for n in (4, 5):
        layer.send("work", {"n": n})
    samples = eventually(
        lambda: (found := scrape(url))["runworker_queue_age_seconds", "work"] > 0 and found  # a clock of the server
    )
    assert isinstance(samples, dict)
    expected = {
        ("runworker_messages_total", "work"): 2,
        ("runworker_errors_total", "work"): 0,
        ("runworker_messages_total", "fail"): 1,
        ("runworker_errors_total", "fail"): 1,
        ("runworker_in_progress", "linger"): 1,
        ("runworker_in_progress", "work"): 0,
        ("runworker_queue_messages", "work"): 2,
        ("runworker_queue_messages", "fail"): 0,
        ("runworker_queue_age_seconds", "fail"): 0,
        ("runworker_queue_expired_total", "work"): 0,
        ("runworker_layer_up", ""): 1,
        ("runworker_server_up", ""): 1,
        ("runworker_slots", ""): 1,
        ("runworker_slots_busy", ""): 1,
        ("runworker_delayed_messages", ""): 0,
        ("runworker_duration_seconds_count", "work"): 2,
    }
    assert {name: samples.get(name) for name in expected} == expected
    assert 0.02 <= samples["runworker_duration_seconds_sum", "work"] < 5
    assert samples["runworker_queue_age_seconds", "work"] < 20
    assert abs(samples["runworker_last_pull_timestamp_seconds", ""] - time.time()) < 20
    notes.go()
    eventually(lambda: scrape(url)["runworker_messages_total", "work"] == 4)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_during_an_outage_what_waits_in_redis_is_missing_and_the_rest_is_there(
    start: Start, fresh_redis_server: RedisServer
) -> None:
    server = fresh_redis_server
    worker = start("--metrics-port", "0", server=server)
    url = address(worker)
    eventually(lambda: ("runworker_queue_messages", "work") in scrape(url))
    server.kill()
    # At the first scrapes the worker may not have noticed it.
    samples = scrape(url)
    assert samples["runworker_messages_total", "work"] == 0
    eventually(lambda: "does not serve messages" in worker.log)
    samples = scrape(url)
    of_channels = {name for name, _ in samples if name.startswith("runworker_queue")}
    assert of_channels == {"runworker_queue_capacity"}
    assert samples["runworker_server_up", ""] == 0
    assert samples["runworker_layer_up", ""] == 0
    assert samples["runworker_in_progress", "work"] == 0
    server.start()
    eventually(lambda: ("runworker_queue_messages", "work") in scrape(url))
    assert "Traceback" not in worker.log


def scrape_stand_in(worker: Any, during: Callable[[], None] = lambda: None) -> Samples:
    metrics = MetricsServer(("127.0.0.1", 0))
    metrics.start(worker)
    during()
    try:
        return scrape("http://{}:{}".format(*metrics._server.address))
    finally:
        metrics.stop()


def test_while_redis_hangs_the_rest_is_there_at_once(start: Start, fresh_redis_server: RedisServer) -> None:
    worker = start("--metrics-port", "0", server=fresh_redis_server)
    url = address(worker)
    eventually(lambda: scrape(url)["runworker_layer_up", ""] == 1)
    pause(fresh_redis_server)
    took = []
    for _ in range(3):  # one lookup hangs; there are no more of them
        before = time.monotonic()
        samples = scrape(url)
        took.append(time.monotonic() - before)
        assert samples["runworker_layer_up", ""] == samples["runworker_server_up", ""] == 0
        assert samples["runworker_messages_total", "work"] == 0
    assert min(took) < 1  # the socket's timeout is 20
    resume(fresh_redis_server)
    eventually(lambda: scrape(url)["runworker_layer_up", ""] == 1)


class Statistics(FakeLayer):
    extensions = ["statistics"]

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    def channel_statistics(self, channel: str) -> dict[str, float]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {"messages_pending": 3, "messages_max_age": 1.5}


def test_what_cannot_be_looked_up_is_missing() -> None:
    worker = stand_in()
    worker.channel_layer = adapted(Statistics())
    assert scrape_stand_in(worker)["runworker_queue_age_seconds", "c"] == 1.5
    layer = Statistics(redis.exceptions.ConnectionError("gone"))
    worker.channel_layer = adapted(layer)
    assert [name for name, _ in scrape_stand_in(worker) if name.startswith("runworker_queue")] == []
    assert layer.asked == 1


def test_while_a_lookup_hangs_there_is_no_other() -> None:
    asked, answers = [], threading.Event()

    def hang() -> str:
        asked.append(time.monotonic())
        answers.wait(20)
        return "told"

    lookup = layer_metrics.Lookup("facts", hang)

    def look_up() -> str | None:
        lookup.start()
        return lookup.answer(time.monotonic() + 0.02)

    assert [look_up() for _ in range(5)] == [None] * 5
    assert len(asked) == 1
    answers.set()
    eventually(lambda: look_up() == "told")
    eventually(lambda: look_up() == "told" and len(asked) > 1)


def test_what_the_layer_counts_is_exported_where_it_counts_it() -> None:
    worker = stand_in()
    layer: Any = Statistics()
    worker.channel_layer = adapted(layer)
    samples = scrape_stand_in(worker)
    assert ("runworker_queue_expired_total", "c") not in samples
    assert ("runworker_undecodable_total", "") not in samples
    layer.undecodable_count = 7
    layer.many_channel_statistics = lambda channels: {name: {"messages_expired": 5} for name in channels}
    worker.channel_layer = adapted(layer)
    samples = scrape_stand_in(worker)
    assert samples["runworker_queue_expired_total", "c"] == 5
    assert samples["runworker_undecodable_total", ""] == 7


def test_during_an_outage_nothing_is_looked_up() -> None:
    """Each look would take as long as a connection that fails."""
    worker = stand_in()
    layer = Statistics()
    worker.channel_layer = adapted(layer)
    worker.popping = False
    assert [name for name, _ in scrape_stand_in(worker) if name.startswith("runworker_queue")] == []
    assert layer.asked == 0


def test_a_layer_without_statistics_has_none() -> None:
    worker = stand_in()
    worker.channel_layer.extensions = ["groups"]

    def during() -> None:
        worker.ran()
        worker.ran(failed=True)

    samples = scrape_stand_in(worker, during)
    assert samples["runworker_messages_total", "c"] == 2
    assert samples["runworker_errors_total", "c"] == 1
    assert [name for name, _ in samples if name.startswith("runworker_queue")] == []


def test_process_local_channels_are_one_series() -> None:
    """Their full names are without number."""
    worker = stand_in()
    worker.channels = ["c!"]
    worker.channel_layer.extensions = []

    def during() -> None:
        for n in range(3):
            for observe in worker.dispatcher.observers:
                observe(f"c!{n}", "consumer", 0.1, False)

    samples = scrape_stand_in(worker, during)
    assert samples["runworker_messages_total", "c!"] == 3
    assert {channel for _, channel in samples} == {"c!", ""}


def test_a_key_of_another_type_costs_the_samples_of_its_own_channel_only(
    start: Start, layer: RedisChannelLayer, redis_server: RedisServer
) -> None:
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        client.set(f"{layer.prefix}fail", "old")
    url = address(start("--metrics-port", "0"))
    samples = eventually(lambda: (found := scrape(url)).get(("runworker_queue_messages", "work")) == 0 and found)
    assert ("runworker_queue_messages", "fail") not in samples


def test_a_busy_port_is_a_wrong_configuration(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        worker = start("--metrics-port", str(port))
        assert worker.wait() == 1
    assert f"cannot serve metrics on 127.0.0.1:{port}: Address already in use" in worker.log
    assert len(worker.log.splitlines()) == 1
