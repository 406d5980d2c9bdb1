"""``--burst``."""

from __future__ import annotations

from datetime import datetime

import pytest

from asgi_redis import RedisChannelLayer
from tests.workers.operations.conftest import Start
from tests.workers.processes import Notes


@pytest.mark.parametrize("flags", [["--threads", "3"], ["--pool", "gevent"]])
def test_it_empties_the_channels_of_what_consumers_send_too_and_exits_with_0(
    start: Start, layer: RedisChannelLayer, notes: Notes, flags: list[str]
) -> None:
    if "gevent" in flags:
        pytest.importorskip("gevent")
    layer.send("spread", {"n": 5})
    layer.send("work", {"n": 9, "seconds": 0.1})
    worker = start("--burst", *flags)
    assert worker.wait() == 0, worker.log
    assert len(notes["done"]) == 2**6 - 1 + 1
    assert layer.receive_batch(["spread", "work"], 10) == []


def test_with_nothing_to_do_it_exits_at_once(start: Start) -> None:
    worker = start("--burst")
    assert worker.wait() == 0
    listening, *_, stopped = (
        datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") for line in worker.log.splitlines()
    )
    assert (stopped - listening).total_seconds() < 1.0  # it would wait 2 s for a message
