"""A project of Channels 4, and what the worker does with it."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.workers.processes import WorkerProcess

Run = Callable[..., WorkerProcess]
