"""The entry of a worker in the registry of its layer, for monitors."""

from __future__ import annotations

import itertools
import time
from typing import Any

from asgi_redis.engine.facts import QUIET
from asgi_redis.engine.reporter import Reporter
from workers.runtime.hooks import HookedWorker, LifecycleHook

_MAX_RUNNING = 100  # messages in progress that a report names
_MAX_CHANNELS = 1000  # names and limits in a report


class Registration(LifecycleHook):
    """
    Reports the worker to the registry of its layer, if that has one, until its end.

    A request to be quiet stops the worker, as SIGTERM does: it finishes the messages in progress and ends. ``pool``
    is the kind of its slots.
    """

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._reporter: Reporter | None = None

    def start(self, worker: HookedWorker) -> None:
        registry = worker.channel_layer.registry
        if registry is None:
            return

        def obey(request: str) -> None:
            if request == QUIET:
                worker.quiet()

        def describe() -> dict[str, Any]:
            return {"pool": self._pool, **description(worker)}

        self._reporter = Reporter(registry, "worker", describe, obey)
        self._reporter.start()

    def quiet(self) -> None:
        """Report that the worker stops."""
        if self._reporter is not None:
            self._reporter.report_now()

    def stop(self) -> None:
        if self._reporter is not None:
            self._reporter.stop()


def description(worker: HookedWorker) -> dict[str, Any]:
    """Return the fields of a worker's report."""
    dispatcher, now = worker.dispatcher, time.monotonic()
    running = dispatcher.running()
    return {
        "client_prefix": worker.channel_layer.client_prefix,
        "slots": worker.pool.size,
        "channels": worker.channels[:_MAX_CHANNELS],
        "limits": dict(itertools.islice(worker.limits.by_channel.items(), _MAX_CHANNELS)),
        "busy": len(running),
        "done": dispatcher.done,
        "failed": dispatcher.failed,
        "retried": dispatcher.retried,
        "popping": worker.popping,
        "pulled": round(max(0.0, now - worker.pulled_at), 3),
        "stopping": dispatcher.quieted,
        "running": [
            {"channel": each.channel, "consumer": each.consumer, "seconds": round(now - each.started, 3)}
            for each in running[:_MAX_RUNNING]
        ],
    }
