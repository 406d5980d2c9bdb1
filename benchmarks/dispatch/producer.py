"""
The process that sends: ``python -m benchmarks.dispatch.producer APP COUNT RATE``.

It runs in the subject's environment, and sends as its users do. RATE is in messages a second; 0 is as fast as it
goes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable


def main(app: str, count: int, rate: float) -> None:
    """Send, and print the rate that it has kept."""
    send = importlib.import_module(f"{__package__}.apps.{app}").send
    began = time.monotonic()
    if rate:
        _send_steadily(send, count, rate)
    else:
        for _ in range(count):
            send(time.monotonic())
    print(json.dumps({"rate": count / (time.monotonic() - began)}), flush=True)
    os._exit(0)  # without waiting for the threads and loops of clients


def _send_steadily(send: Callable[[float], object], count: int, rate: float) -> None:
    began = time.monotonic()
    for number in range(count):
        # Due times, not pauses: after a delay it catches up, so that the rate is kept.
        early = began + number / rate - time.monotonic()
        if early > 0:
            time.sleep(early)
        send(time.monotonic())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
