"""
Getting the channel layer when the worker starts. Making one may need a server that is away: Sentinels are asked which
services there are.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, Callable, TypeVar

from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.engine.outage import Outage
from workers.command.launcher import show_log
from workers.runtime.stopping import ExitCode, Shutdown

logger = logging.getLogger(__name__)

T = TypeVar("T")


def when_served(make: Callable[[], T], options: Mapping[str, Any]) -> T | None:
    """
    Returns ``make()``, called again and again while no server answers it; None for SIGTERM or SIGINT.

    A burst waits for no longer than its ``burst_timeout``, and then ends the process: ``ExitCode.UNREACHABLE``. The
    log has a line when it waits, and one when that is over. To be called in the main thread.
    """
    outage = Outage("Redis")
    signals: SimpleQueue[None] = SimpleQueue()
    deadline = time.monotonic() + options["burst_timeout"] if options["burst"] else math.inf
    with Shutdown(lambda: signals.put(None)) as shutdown:
        while True:
            try:
                made = make()
            except (ConnectionError, TimeoutError) as error:
                show_log(options["verbosity"])
                pause = outage.failed(error)
                if time.monotonic() >= deadline:
                    logger.error("The burst ends: Redis has not answered for %g s", options["burst_timeout"])
                    raise SystemExit(ExitCode.UNREACHABLE) from None
            else:
                outage.succeeded()
                pause = 0
            with contextlib.suppress(Empty):
                # Also where it was made: a signal may have come meanwhile.
                signals.get(timeout=pause) if pause else signals.get_nowait()
                logger.info("Signal %d: stopped before it listened", shutdown.signal)
                return None
            if not outage.lasts:
                return made
