"""
``--metrics-port``: metrics for Prometheus, over HTTP.

The worker counts its messages as it runs them. The metrics of its channel layer are those of
``workers.operations.layer_metrics``. ``docs/reference/metrics.rst`` has the list of all.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from asgi_redis.wire.names import queue_of
from workers.exceptions import ConfigurationError
from workers.operations.exposition import family, heading, labels, sample
from workers.operations.http import HttpServer
from workers.operations.layer_metrics import LayerMetrics
from workers.runtime.hooks import HookedWorker, LifecycleHook

logger = logging.getLogger(__name__)

BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)


class MetricsServer(LifecycleHook):
    """
    Serves the metrics of the worker at an address, ``(host, port)``.

    Raises ``ConfigurationError`` when the address cannot be had.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._metrics: WorkerMetrics | None = None
        self._server = serve(address, self._document)

    def start(self, worker: HookedWorker) -> None:
        self._metrics = WorkerMetrics(worker)
        logger.info("Metrics are at http://%s:%d/metrics", *self._server.address)

    def stop(self) -> None:
        self._server.close()

    def _document(self) -> bytes:
        return b"" if self._metrics is None else self._metrics.text().encode()


def serve(address: tuple[str, int], document: Callable[[], bytes]) -> HttpServer:
    """Start to serve ``document()`` at ``address``, or raise ``ConfigurationError``."""
    host, port = address
    try:
        return HttpServer(address, document)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name cannot be that of a host
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cannot serve metrics on {host}:{port}: {reason}") from error


class ChannelMetrics:
    """Counts the messages of one channel; ``labelled`` are the labels of its samples."""

    def __init__(self, labelled: str) -> None:
        self.labelled = labelled
        self.messages = 0
        self.errors = 0
        self._seconds = 0.0
        self._buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self._lock = threading.Lock()
        self._histogram = (-1, "")  # the number of messages in it, and its samples

    def count(self, seconds: float, failed: bool) -> None:
        """Count a message that took so long."""
        with self._lock:
            self.messages += 1
            self.errors += failed
            self._seconds += seconds
            self._buckets[bisect.bisect_left(BUCKETS_SECONDS, seconds)] += 1

    def histogram(self) -> str:
        """Return the samples of the durations, cached until the next message."""
        with self._lock:
            messages, seconds, buckets = self.messages, self._seconds, list(self._buckets)
        if self._histogram[0] != messages:
            name, bounds = "runworker_duration_seconds", [*map(str, map(float, BUCKETS_SECONDS)), "+Inf"]
            samples = [
                sample(f"{name}_bucket", f'{self.labelled},le="{bound}"', number)
                for bound, number in zip(bounds, itertools.accumulate(buckets))
            ]
            samples.append(sample(f"{name}_count", self.labelled, messages))
            samples.append(sample(f"{name}_sum", self.labelled, seconds))
            self._histogram = messages, "".join(samples)
        return self._histogram[1]


class WorkerMetrics:
    """The metrics of a worker, from now on; ``process`` is its label among several."""

    def __init__(self, worker: HookedWorker, process: str | None = None) -> None:
        self._worker = worker
        self._labels = {} if process is None else {"process": process}
        self._channels = {name: ChannelMetrics(labels({"channel": name, **self._labels})) for name in worker.channels}
        self._of_layer = LayerMetrics(worker.channel_layer, worker.channels)
        worker.dispatcher.observers.append(self._count)

    def text(self, with_layer: bool = True) -> str:
        """Return the metrics; ``with_layer``: and those of the layer, for all workers."""
        of_layer = self._of_layer.text(self._worker.popping) if with_layer else ()
        return "".join([*self._of_process(), *of_layer])

    def _count(self, channel: str, consumer: str, seconds: float, failed: bool) -> None:
        self._channels[queue_of(channel)].count(seconds, failed)

    def _of_process(self) -> Iterator[str]:
        running = Counter(queue_of(running.channel) for running in self._worker.dispatcher.running())
        channels = self._channels.items()
        messages = ((of.labelled, of.messages) for _, of in channels)
        errors = ((of.labelled, of.errors) for _, of in channels)
        in_progress = ((of.labelled, running[name]) for name, of in channels)
        yield family("runworker_messages_total", "counter", "Messages that were run", messages)
        yield family("runworker_errors_total", "counter", "Those among them that failed", errors)
        yield heading("runworker_duration_seconds", "histogram", "How long they ran")
        yield from (of.histogram() for _, of in channels)
        yield family("runworker_in_progress", "gauge", "Messages in progress", in_progress)
        yield from self._of_slots()
        undecodable = self._worker.channel_layer.undecodable_count
        if undecodable is not None:
            text = "Messages that were dropped because they could not be decoded or decrypted"
            yield family("runworker_undecodable_total", "counter", text, [(labels(self._labels), undecodable)])

    def _of_slots(self) -> Iterator[str]:
        worker, labelled = self._worker, labels(self._labels)
        pulled = time.time() - (time.monotonic() - worker.pulled_at)
        running = len(worker.dispatcher.running())
        yield family(
            "runworker_slots", "gauge", "Messages that the process can run at once", [(labelled, worker.pool.size)]
        )
        yield family("runworker_slots_busy", "gauge", "Slots that run a message", [(labelled, running)])
        text = "When the process last gave a sign of life of pulling, in Unix seconds"
        yield family("runworker_last_pull_timestamp_seconds", "gauge", text, [(labelled, pulled)])
