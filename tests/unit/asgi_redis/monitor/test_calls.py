"""The share of a server's time that a monitor takes, and the errors that it notes."""

from __future__ import annotations

import threading
import time

import pytest
from redis.exceptions import ConnectionError

from asgi_redis.monitor import calls as calls_module
from asgi_redis.monitor.calls import BudgetedCalls


@pytest.fixture
def calls():
    return BudgetedCalls(threading.Event())


def raising(error):
    def call():
        raise error

    return call


def test_a_call_is_followed_by_a_pause_of_nine_times_its_duration(calls):
    busy = 0.0

    def work():
        nonlocal busy
        started = time.monotonic()
        time.sleep(0.01)
        busy += time.monotonic() - started

    began = time.monotonic()
    for _ in range(5):
        calls.make(work)
    last = busy / 5
    assert busy <= 0.115 * (time.monotonic() - began + 9 * last)


def test_closing_ends_the_pause(monkeypatch):
    monkeypatch.setattr(calls_module, "_LONGEST_PAUSE_SECONDS", 60)
    closing = threading.Event()
    calls = BudgetedCalls(closing)
    calls._free_at = time.monotonic() + 60
    threading.Timer(0.05, closing.set).start()
    assert calls.make(lambda: 1) == 1


def test_errors_are_noted_once_each_and_the_default_is_returned(calls):
    assert calls.attempt(raising(ConnectionError("gone")), 7) == 7
    assert calls.attempt(raising(ConnectionError("gone")), 8) == 8
    assert calls.attempt(raising(OSError("lost")), 9) == 9
    assert calls.attempt(lambda: 10, 9) == 10
    assert calls.take_errors() == "gone; lost"
    assert calls.take_errors() == ""


def test_while_a_server_hangs_nothing_is_asked_before_the_next_picture(calls, monkeypatch):
    monkeypatch.setattr(calls_module, "_CALL_SECONDS", 1.0)
    answered = threading.Event()
    assert calls.attempt(lambda: answered.wait(20), 1) == 1
    assert calls.attempt(lambda: 2, 1) == 1
    assert "takes more than 1 s" in calls.take_errors()
    assert calls.attempt(lambda: 2, 1) == 2
    answered.set()


def test_a_bug_is_not_hidden(calls):
    with pytest.raises(ZeroDivisionError):
        calls.attempt(raising(ZeroDivisionError()), 0)
