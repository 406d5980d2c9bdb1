"""Celery on its Redis broker."""

from __future__ import annotations

from celery import Celery

from ..recorder import Recorder, the_order

_order = the_order()
_recorder = Recorder(_order)
app = Celery("bench", broker=f"redis://127.0.0.1:{_order['port']}/0", backend=None)
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    # The guide "Optimizing" has 64 or 128 for many short tasks.
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    worker_redirect_stdouts=False,
)


@app.task
def work(sent: float) -> None:
    """Run the task."""
    _recorder.work(sent)


def send(sent: float) -> None:
    """See ``apps``."""
    work.apply_async((sent,))
