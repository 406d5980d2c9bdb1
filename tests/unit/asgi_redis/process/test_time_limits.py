"""Calls within a time limit, and those that go on in the background when it has passed."""

from __future__ import annotations

import threading
import time

import pytest

from asgi_redis.process import time_limits
from asgi_redis.process.time_limits import BackgroundReplies, HastyCalls, within


def test_a_call_within_the_limit_returns_its_result_or_raises_its_error():
    assert within(10, lambda: threading.current_thread().name, "a call") == "a call"
    with pytest.raises(ZeroDivisionError):
        within(10, lambda: 1 / 0, "a call")


def test_a_call_beyond_the_limit_is_named_in_the_error_and_goes_on():
    released, ended = threading.Event(), threading.Event()

    def call():
        released.wait(10)
        ended.set()

    with pytest.raises(TimeoutError, match=r"asking takes more than 0\.01 s"):
        within(0.01, call, "asking")
    released.set()
    assert ended.wait(10)


def test_while_a_call_is_late_others_are_made_one_at_a_time(monkeypatch):
    monkeypatch.setattr(time_limits, "HANG_TIMEOUT_SECONDS", 0.1)
    calls, released = HastyCalls("asking"), threading.Event()
    made, refused = [], []

    def ask():
        made.append(threading.current_thread())
        released.wait(10)

    def try_until(deadline):
        while time.monotonic() < deadline:
            with pytest.raises(TimeoutError, match=r"asking takes more than 0\.1 s"):
                calls.make(ask)
            refused.append(True)
            time.sleep(0.005)

    deadline = time.monotonic() + 1.0
    callers = [threading.Thread(target=try_until, args=[deadline]) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    # The first calls may all have begun before one of them was late; then there is one in each tenth of a second.
    assert 2 <= len(made) <= len(callers) + 10 < len(refused)
    assert [thread.is_alive() for thread in made] == [True] * len(made)
    released.set()
    for thread in made:
        thread.join(10)
    assert calls.make(lambda: 7) == 7


def test_where_no_thread_can_be_started_the_call_is_made_at_once(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(time_limits.threading, "Thread", refuse)
    assert within(10, lambda: 7, "a call") == 7


def test_settling_waits_for_all_calls_in_the_background_until_a_deadline():
    replies, released = BackgroundReplies("late reply"), threading.Event()
    assert replies.settle(time.monotonic())
    for _ in range(3):
        replies.wait_for(lambda: released.wait(10))
    assert not replies.settle(time.monotonic() + 0.01)
    released.set()
    assert replies.settle(time.monotonic() + 10)
