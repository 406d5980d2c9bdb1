"""
Getting the channel layer when the worker starts. Making one may need a server that is away: Sentinels are asked which
services there are.
"""

from __future__ import annotations

import contextlib
import logging
from queue import Empty, SimpleQueue
from typing import Callable, TypeVar

from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.outage import Outage
from workers.launcher import show_log
from workers.stopping import StopSignal, StopSignals

logger = logging.getLogger(__name__)

T = TypeVar("T")


def when_served(make: Callable[[], T], verbosity: int) -> T | None:
    """
    Returns ``make()``, called again and again while no server answers it; None for SIGTERM or SIGINT.

    The log has a line when it waits, and one when that is over. To be called in the main thread.
    """
    outage = Outage("Redis")
    stops: SimpleQueue[StopSignal] = SimpleQueue()
    with StopSignals(stops.put):
        while True:
            try:
                made = make()
            except (ConnectionError, TimeoutError) as error:
                show_log(verbosity)
                pause = outage.failed(error)
            else:
                outage.succeeded()
                pause = 0
            with contextlib.suppress(Empty):
                # Also where it was made: a signal may have come meanwhile.
                stop = stops.get(timeout=pause) if pause else stops.get_nowait()
                logger.info("Signal %d: stopped before it listened", stop.number)
                return None
            if not outage.lasts:
                return made
