"""The thread that reports a process."""

from __future__ import annotations

import logging
import os
import socket
import time

import pytest
import redis

from asgi_redis import __version__
from asgi_redis.engine.reporter import Reporter
from asgi_redis.process import identity
from tests.support.servers import pause, resume


@pytest.fixture
def reporter_for(monkeypatch):
    """``reporter_for(registry, ...)``: a reporter that is stopped in the end; five reports a second."""
    monkeypatch.setattr("asgi_redis.engine.reporter.REPORT_SECONDS", 0.2)
    monkeypatch.setattr(identity, "_role", identity._role)
    made = []

    def make(registry, describe=dict, obey=print, **options):
        made.append(Reporter(registry, "worker", describe, obey, **options))
        made[-1].start()
        return made[-1]

    yield make
    for reporter in made:
        reporter.stop()


def test_it_reports_again_and_again_until_its_end(layer_for, redis_server, reporter_for, eventually):
    registry = layer_for(redis_server).registry
    counts = iter(range(1000))
    reporter = reporter_for(registry, lambda: {"n": next(counts)})
    eventually(lambda: registry.processes() and registry.processes()[0].report["n"] > 1)
    (entry,) = registry.processes()
    assert entry.process == reporter.process
    report = {name: value for name, value in entry.report.items() if name not in ("n", "started")}
    host = identity.host_name()
    assert report == {"role": "worker", "host": host, "pid": os.getpid(), "version": __version__}
    reporter.stop()
    assert registry.processes() == []


def test_the_name_of_the_process_is_that_of_a_group(layer_for, redis_server, reporter_for, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Ärger mit:Namen." + 100 * "x")
    layer = layer_for(redis_server)
    reporter = reporter_for(layer.registry)
    layer.valid_group_name(reporter.process)
    assert reporter.process.startswith("-rger-mit-Namen.xxx")


def test_a_request_is_obeyed_once(layer_for, redis_server, reporter_for, eventually):
    registry = layer_for(redis_server).registry
    asked = []
    reporter = reporter_for(registry, obey=asked.append)
    eventually(lambda: registry.ask(reporter.process, "quiet"))
    eventually(lambda: asked)
    reporter.report_now()
    eventually(lambda: registry.processes()[0].age < 0.1)
    assert asked == ["quiet"]


def test_an_outage_is_one_line_and_its_end_is_found(layer_for, fresh_redis_server, reporter_for, eventually, caplog):
    caplog.set_level(logging.INFO)
    registry = layer_for(fresh_redis_server).registry
    described = []
    reporter_for(registry, lambda: described.append(1) or {})
    eventually(registry.processes)
    fresh_redis_server.stop()
    before = len(described)
    eventually(lambda: len(described) > before + 3)
    fresh_redis_server.start()
    eventually(lambda: _no_error(registry.processes), timeout=20)
    lines = [record.message for record in caplog.records if "cannot see" in record.message]
    assert len(lines) == 1
    assert "Monitors cannot see this process: ConnectionError" in lines[0]


def test_the_next_outage_has_its_line_too(layer_for, redis_server, reporter_for, eventually, caplog):
    caplog.set_level(logging.INFO)
    registry = layer_for(redis_server).registry
    outcomes = iter([True, True, False, True, True, False])
    reports = []

    def describe():
        if next(outcomes, False):
            raise redis.exceptions.ConnectionError("away")
        reports.append(1)
        return {}

    reporter = reporter_for(registry, describe)
    eventually(lambda: reporter.report_now() or len(reports) > 1)
    assert [record.message for record in caplog.records] == 2 * [
        "Monitors cannot see this process: ConnectionError: away"
    ]


def _no_error(call):
    try:
        return call()
    except redis.exceptions.RedisError:
        return None


def test_a_description_that_fails_does_not_end_it(layer_for, redis_server, reporter_for, eventually, caplog):
    registry = layer_for(redis_server).registry
    failures = iter([True, True, False])

    def describe():
        if next(failures, False):
            raise ValueError("nothing to say")
        return {}

    reporter_for(registry, describe)
    eventually(registry.processes)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_stop_does_not_wait_for_a_server_that_hangs(
    layer_for, fresh_redis_server, reporter_for, eventually, monkeypatch
):
    monkeypatch.setattr("asgi_redis.engine.reporter._STOP_SECONDS", 0.05)
    registry = layer_for(fresh_redis_server).registry
    reporter = reporter_for(registry)
    eventually(registry.processes)
    pause(fresh_redis_server)
    try:
        started = time.monotonic()
        reporter.stop()
        assert time.monotonic() - started < 1  # or a worker that has no time left is ended by force
    finally:
        resume(fresh_redis_server)
