"""What fails beneath a worker: it goes on, unless that lasts."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_redis.exceptions import ConfigurationError, UnsupportedRedis
from tests.support.waiting import eventually
from tests.support.workers.fakes import Consumer, QueueLayer, queue_layer  # noqa: F401  a fixture
from workers import Worker
from workers.runtime.crashes import MAX_CRASHES
from workers.runtime.pool import Pool
from workers.runtime.stopping import ExitCode


def test_pulling_that_fails_is_taken_up_again(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    consumer.may_end.set()

    def script() -> None:
        eventually(lambda: layer.receiving)
        layer.fail_once = True
        layer.fail_with = LookupError("a bug")
        layer.unblock()
        eventually(lambda: "a bug" in caplog.text)
        layer.put("a", n=1)
        eventually(lambda: consumer.ended == [1])
        worker.quiet()

    during_run(script)
    assert worker.run() == ExitCode.CLEAN
    assert "it goes on" in caplog.text


def test_pulling_that_fails_again_and_again_ends_run(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    layer.fail_with = LookupError("a bug")
    assert Worker(layer, {"a": consumer}).run() == ExitCode.FAILED
    assert caplog.text.count("Pulling has failed; it goes on") == MAX_CRASHES
    assert "again and again" in caplog.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnsupportedRedis("Redis 4.0 lacks a command"), ExitCode.FAILED),
        (ConfigurationError("shards is 3, others have 4"), ExitCode.CONFIGURATION),
    ],
)
def test_an_error_of_the_layer_that_lasts_ends_run(
    error: Exception, code: int, layer: QueueLayer, consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.fail_with = error
    assert Worker(layer, {"a": consumer}).run() == code
    assert caplog.text.count(str(error)) == 1
    assert "Traceback" not in caplog.text


def test_pulling_that_keeps_failing_ends_run_after_what_runs(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    layer.put("a", n=1)

    def script() -> None:
        eventually(lambda: consumer.ran and layer.receiving)
        layer.fail_with = LookupError("a bug")
        layer.unblock()
        eventually(lambda: "a bug" in caplog.text)
        consumer.may_end.set()

    during_run(script)
    assert worker.run() == ExitCode.FAILED
    assert consumer.ended == [1]
