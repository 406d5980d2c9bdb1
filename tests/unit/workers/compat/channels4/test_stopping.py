"""How a worker of a Channels 4 project ends."""

from __future__ import annotations

import signal

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.unit.workers.compat.channels4 import Run


def test_a_stop_under_load_loses_nothing(pool: list[str], run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    for n in range(100):
        layer.send("thumbnails", {"type": "thumbnails.make", "n": n, "seconds": 0.02})
        layer.send("emails", {"type": "emails.send", "n": n + 100, "seconds": 0.02})
    with run("thumbnails", "emails", "--concurrency", "4", *pool) as worker:
        eventually(lambda: len(notes["done"]) > 20, timeout=20)
        worker.stop()
    left = [layer.receive([name])[1] for name in ["thumbnails", "emails"] * 100]
    waiting = [message["n"] for message in left if message is not None]
    assert waiting
    assert sorted(notes.numbers("done") + waiting) == list(range(200))


def test_what_runs_past_the_shutdown_timeout_is_left_behind(run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    with run("emails", "--shutdown-timeout", "0.2") as worker:
        layer.send("emails", {"type": "emails.hang", "n": 1})
        eventually(lambda: notes["started"], timeout=20)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 3
        assert (
            "consumer tests.unit.workers.compat.channels4.consumers.Emails with a message on channel 'emails'"
            in worker.log
        )


@pytest.mark.parametrize(
    "flags",
    [
        ["--max-messages", "1"],
        pytest.param(["--burst"], marks=pytest.mark.soak),
        ["--burst", "--disable-graceful-stop"],
    ],
)
def test_it_ends_by_itself_where_it_is_told_to(
    flags: list[str], run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    layer.send("emails", {"type": "emails.send", "n": 1})
    with run("emails", "thumbnails", *flags) as worker:
        assert worker.wait(20) == 0
        assert "1 messages done, 0 of them failed" in worker.log
        assert "Task was destroyed" not in worker.log
        assert "Warning" not in worker.log


def test_the_end_cancels_what_consumers_have_started(run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    with run("emails") as worker:
        layer.send("emails", {"type": "emails.watch", "n": 1})
        eventually(lambda: notes.numbers("done") == [1], timeout=20)
        worker.stop()
        assert "Task was destroyed" not in worker.log
    assert notes.numbers("cancelled") == [1]
