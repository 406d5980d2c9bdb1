"""
The consumer alone, in a loop in each of so many threads: ``python -m benchmarks.dispatch.apps.bare THREADS``.

Without messages and without Redis. It shows how far ``time.sleep`` exceeds its time: no worker can be faster.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time

from ..recorder import Recorder, the_order

_order = the_order()
_recorder = Recorder(_order)
_numbers = itertools.count()


def send(sent: float) -> None:
    """Send nothing."""


def _loop() -> None:
    while next(_numbers) < _order["count"]:
        _recorder.work(time.monotonic())


if __name__ == "__main__":
    threads = [threading.Thread(target=_loop) for _ in range(int(sys.argv[1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(60)  # until the benchmark has seen the figures and ends it
