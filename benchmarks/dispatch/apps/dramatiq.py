"""Dramatiq on its Redis broker."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from ..recorder import Recorder, the_order

_order = the_order()
_recorder = Recorder(_order)
# Without middleware: age and time limits, retries, callbacks and pipelines all cost, and the task needs none.
dramatiq.set_broker(RedisBroker(url=f"redis://127.0.0.1:{_order['port']}/0", middleware=[]))


@dramatiq.actor
def work(sent: float) -> None:
    """Run the task."""
    _recorder.work(sent)


send = work.send
