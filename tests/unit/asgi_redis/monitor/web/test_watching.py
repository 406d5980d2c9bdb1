"""The monitor of a page: it runs while the page is open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.monitor.web.watching import WatchedLayer
from tests.support.waiting import eventually


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    with InMemoryChannelLayer() as layer:
        yield layer


def monitors() -> int:
    return sum(thread.name in ("monitor", "watching") for thread in threading.enumerate())


def test_it_ends_when_no_snapshot_is_asked_for_and_starts_again(layer: InMemoryChannelLayer) -> None:
    watched = WatchedLayer(layer, linger=1.0)
    assert monitors() == 0
    for channel in ("mail", "work"):
        layer.send(channel, {})
        assert channel in [row["channel"] for row in watched.snapshot()["channels"]]
        assert watched.watching
        eventually(lambda: not watched.watching and monitors() == 0)


def test_it_goes_on_while_snapshots_are_asked_for(layer: InMemoryChannelLayer) -> None:
    watched = WatchedLayer(layer, linger=0.5)
    first = watched.snapshot()
    eventually(lambda: watched.snapshot()["time"] > first["time"], interval=0.1)
    assert monitors() == 2
    watched.close()
    assert monitors() == 0


def test_many_people_share_one(layer: InMemoryChannelLayer) -> None:
    watched = WatchedLayer(layer)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: watched.snapshot(), range(50)))
    assert monitors() == 2
    watched.close()
    assert monitors() == 0
