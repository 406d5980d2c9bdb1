"""``--burst``."""

from __future__ import annotations

from datetime import datetime

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.unit.workers.operations.conftest import Start


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


def test_with_a_server_that_is_away_it_waits_until_it_can_see_what_is_there(
    start: Start, three_fresh_redis_servers: list[RedisServer], prefix: str, notes: Notes
) -> None:
    urls = [server.url for server in three_fresh_redis_servers]
    three_fresh_redis_servers[1].kill()
    worker = start("--burst", "--layer-url", urls[1], server=three_fresh_redis_servers[0])
    eventually(lambda: "does not serve messages" in worker.log)
    with RedisChannelLayer(hosts=urls[:1], prefix=prefix) as one:
        one.send("work", {"n": 2})
    eventually(lambda: notes["done"])
    assert worker.running
    three_fresh_redis_servers[1].start()
    assert worker.wait() == 0, worker.log
    assert "serves messages again" in worker.log
