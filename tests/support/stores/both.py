"""Layers over both stores, in memory and in LMDB, whose clock goes on only when a test says so."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest

from asgi_redis import InMemoryChannelLayer, IPCChannelLayer
from asgi_redis.engine.stores.memory import store as memory_store
from tests.support.stores.lmdb_stores import MEMORY


class StoreClock:
    """Stands for ``time`` where the stores read their clocks."""

    def __init__(self):
        self.now = 10_000_000.0

    def monotonic(self):
        return self.now

    def clock_gettime(self, clock):
        return self.now


@pytest.fixture
def store_clock(monkeypatch):
    records = pytest.importorskip("asgi_redis.engine.stores.lmdb.records")
    clock = StoreClock()
    monkeypatch.setattr(memory_store, "time", clock)
    monkeypatch.setattr(records, "time", clock)
    return clock


@pytest.fixture(params=["memory", "ipc"])
def store_layer_for(request):
    """A function that makes a layer over one of the stores."""
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            yield lambda **options: stack.enter_context(InMemoryChannelLayer(**options))
            return
        pytest.importorskip("lmdb")
        base = Path(tempfile.mkdtemp(prefix="t", dir=MEMORY))
        stack.callback(shutil.rmtree, base)
        yield lambda **options: stack.enter_context(IPCChannelLayer(path=base, **options))


@pytest.fixture
def store_layer(store_layer_for):
    return store_layer_for()
