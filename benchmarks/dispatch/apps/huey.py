"""Huey on its Redis storage."""

from __future__ import annotations

from huey import RedisHuey

from ..recorder import Recorder, the_order

_order = the_order()
_recorder = Recorder(_order)
# The storage for plain queues, the fastest of its Redis storages; its workers wait in BRPOP. No results.
huey = RedisHuey(results=False, url=f"redis://127.0.0.1:{_order['port']}/0")


@huey.task()
def work(sent: float) -> None:
    """Run the task."""
    _recorder.work(sent)


def send(sent: float) -> None:
    """See ``apps``."""
    work(sent)
