"""
``--metrics-port``: what Prometheus asks for, over HTTP.

Each worker process has a port, and a registry, of its own. What waits in Redis is looked up when it is asked for;
while it cannot be, those samples are missing.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError, ResponseError

from workers.duties import Duty
from workers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from workers.worker import Worker

logger = logging.getLogger(__name__)

LABELS = ("channel",)
BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)


class Metrics(Duty):
    """
    Serves the metrics of the worker at an address, ``(host, port)``.

    Raises ``ConfigurationError`` when somebody else does something there.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        host, port = address
        self._registry = CollectorRegistry()
        try:
            self._server, _ = start_http_server(port, addr=host, registry=self._registry)
        except OSError as error:
            raise ConfigurationError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error

    def start(self, worker: Worker) -> None:
        """Begins to count."""
        registry = self._registry
        messages = Counter("runworker_messages", "Messages that were run", LABELS, registry=registry)
        errors = Counter("runworker_errors", "Those among them that failed", LABELS, registry=registry)
        durations = Histogram(
            "runworker_duration_seconds", "How long they ran", LABELS, buckets=BUCKETS, registry=registry
        )
        registry.register(Present(worker))
        # Looking up a label costs more than counting; and what never happened is to be 0, rather than missing.
        series = {
            name: (messages.labels(name), errors.labels(name), durations.labels(name)) for name in worker.channels
        }

        def count(channel: str, consumer: str, seconds: float, failed: bool) -> None:
            message, error, duration = series[_listened_on(channel)]
            message.inc()
            duration.observe(seconds)
            if failed:
                error.inc()

        worker.dispatcher.observers.append(count)
        logger.info("Metrics are at http://%s:%d/metrics", *self._server.server_address[:2])

    def stop(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


class Present(Collector):
    """What is not counted but looked up: what is in progress, and what waits."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Looks it up."""
        channels = self._worker.channels
        running = Tally(_listened_on(running.channel) for running in self._worker.dispatcher.running())
        statistics = self._statistics()
        yield _gauge("runworker_in_progress", "Messages in progress", {name: running[name] for name in channels})
        for key, name, text in (
            ("messages_pending", "runworker_queue_messages", "Messages that wait in the channel"),
            ("messages_max_age", "runworker_queue_age_seconds", "How long the oldest of them has waited"),
        ):
            yield _gauge(name, text, {channel: of[key] for channel, of in statistics.items()})

    def _statistics(self) -> dict[str, Any]:
        layer: Any = self._worker.channel_layer
        # They are an extension of ASGI, which a layer may lack. During an outage each call would wait for its end.
        if not self._worker.popping or "statistics" not in layer.extensions:
            return {}
        statistics = {}
        for channel in self._worker.channels:
            try:
                statistics[channel] = layer.channel_statistics(channel)
            except RedisError as error:
                logger.debug("No statistics of channel %s: %s: %s", channel, type(error).__name__, error)
                if not isinstance(error, ResponseError):  # a key of another type costs its channel only
                    break
        return statistics


def _listened_on(channel: str) -> str:
    """Returns what the worker asks for to get messages of ``channel``: its name, without a process's part of it."""
    before, mark, _ = channel.partition("!")
    return before + mark


def _gauge(name: str, text: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=LABELS)
    for channel, value in values.items():
        family.add_metric([channel], value)
    return family
