from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from workers.stopping import StopSignal, StopSignals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_recorded_with_their_time(number: int) -> None:
    recorded: list[StopSignal] = []
    before = time.monotonic()
    with StopSignals(recorded.append):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert [stop.number for stop in recorded] == [number, number]
    assert before <= recorded[0].at <= recorded[1].at <= time.monotonic()


def test_the_old_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopSignals(print):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_outside_the_main_thread_nothing_is_handled() -> None:
    seen = []

    def enter() -> None:
        with StopSignals(print):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
