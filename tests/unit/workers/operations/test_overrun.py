"""``--soft-time-limit``."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.support.workers.stand_ins import stand_in
from tests.unit.workers.operations.conftest import Start
from workers.operations.overrun import OverrunWatch, stacks_of
from workers.runtime.dispatcher import Running

LINGER = "Consumer tests.support.workers.operations.linger_here"


@pytest.mark.parametrize("flags", [["--threads", "2"], ["--pool", "gevent"]])
def test_what_runs_too_long_is_logged_with_its_stack_and_when_it_ends(
    start: Start, layer: RedisChannelLayer, notes: Notes, flags: list[str]
) -> None:
    if "gevent" in flags:
        pytest.importorskip("gevent")
    worker = start("--soft-time-limit", "0.2", *flags)
    layer.send("linger", {"n": 1, "secret": "hunter2"})
    layer.send("work", {"n": 2})
    eventually(lambda: f"{LINGER} has run for" in worker.log, timeout=20)
    before, _, after = worker.log.partition("it is here:\n")
    assert "WARNING" in before.splitlines()[-1]
    assert "on channel 'linger', longer than 0.2 s" in before
    eventually(lambda: "in linger_here\n    client.blpop(" in after)
    # One that starts to run too long now is found by a later look than any that would find this one again.
    layer.send("hold", {"n": 3})
    eventually(lambda: "consumers.hold has run for" in worker.log)
    assert worker.log.count(f"{LINGER} has run for") == 1
    notes.go()
    eventually(lambda: f"{LINGER} ended after" in worker.log)
    eventually(lambda: "consumers.hold ended after" in worker.log)
    assert worker.log.count("ended after") == 2
    assert "hunter2" not in worker.log
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_message_that_ends_while_its_stack_is_taken_is_not_blamed_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = stand_in()
    overrun = OverrunWatch(0.1)
    overrun.start(worker)
    running = [Running("c", "consumer", time.monotonic() - 1, threading.get_ident())]
    monkeypatch.setattr(worker.dispatcher, "running", lambda: [running.pop()] if running else [])
    overrun.check(worker)
    assert caplog.text == ""


def test_short_messages_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    worker = stand_in()
    OverrunWatch(0.03).start(worker)
    worker.ran()  # for 0.02 s
    assert caplog.text == ""


def test_a_thread_that_has_ended_has_no_stack() -> None:
    started, may_end = threading.Event(), threading.Event()

    def wait_here() -> None:
        started.set()
        may_end.wait(10)

    ended, waiting = threading.Thread(target=print), threading.Thread(target=wait_here)
    ended.start()
    ended.join()
    waiting.start()
    assert started.wait(10)
    assert ended.ident is not None
    assert waiting.ident is not None
    stacks = stacks_of({waiting.ident, ended.ident})
    may_end.set()
    waiting.join()
    assert "in wait_here" in stacks[waiting.ident]
    # Where its ident has been given to the other one, there is but one.
    assert len(stacks) == 1
