"""RQ. Its ``SimpleWorker``, the fastest, runs the job in the worker process."""

from __future__ import annotations

from redis import Redis
from rq import Queue

from ..recorder import Recorder, the_order

_order = the_order()
_queue = Queue("bench", connection=Redis(port=_order["port"]), default_timeout=-1)  # -1: no timer for each job
_recorder = Recorder(_order)


def work(sent: float) -> None:
    """Run the job."""
    _recorder.work(sent)


def send(sent: float) -> None:
    """See ``apps``."""
    _queue.enqueue(work, sent, result_ttl=0, failure_ttl=0)  # 0: neither job nor result is kept
