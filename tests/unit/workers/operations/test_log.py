"""What the log says of each message at ``-v 2``."""

from __future__ import annotations

import re

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.unit.workers.operations.conftest import Start


@pytest.mark.parametrize(
    ("flags", "thread"),
    [(["--threads", "1"], "slot-1"), pytest.param(["--pool", "gevent"], r"\S+", marks=pytest.mark.soak)],
)
def test_the_line_of_a_message_has_process_thread_channel_consumer_and_duration(
    start: Start, layer: RedisChannelLayer, notes: Notes, flags: list[str], thread: str
) -> None:
    if "gevent" in flags:
        pytest.importorskip("gevent")
    worker = start("-v2", *flags)
    layer.send("work", {"n": 1, "seconds": 0.02})
    line = (
        rf" DEBUG (\d+) {thread} workers\.runtime\.dispatcher: "
        r"Consumer tests\.support\.workers\.consumers\.work is done with a message on channel 'work' after (0\.\d+) s"
    )
    found = eventually(lambda: re.search(line, worker.log), timeout=20)
    assert isinstance(found, re.Match)
    assert int(found[1]) == worker._process.pid
    assert float(found[2]) >= 0.02


def test_by_default_messages_have_no_lines(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    for n in range(5):
        layer.send("work", {"n": n})
    worker = start("--burst")
    assert worker.wait() == 0
    assert len(notes["done"]) == 5
    assert len(worker.log.splitlines()) == 2, worker.log
