"""A worker as the hooks see it, for what a real one does not do at will."""

from __future__ import annotations

import time
from typing import Any

from tests.support.workers.fakes import FakeLayer
from workers.asgi import adapted
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher
from workers.runtime.pool import Pool


class StandIn:
    def __init__(self) -> None:
        self.pulled_at = time.monotonic()
        self.popping = True
        self.quieted = False
        self.pool = Pool(1)
        self.channels = ["c"]
        self.channel_layer: Any = adapted(FakeLayer())
        self.dispatcher = Dispatcher(Router({"c": print}), self.channel_layer, sender=None)

    def quiet(self) -> None:
        self.quieted = True

    def hang(self) -> None:
        """Has its pulling loop give no sign of life for an hour."""
        self.pulled_at = time.monotonic() - 3600

    def ran(self, failed: bool = False) -> None:
        for observe in self.dispatcher.observers:
            observe("c", "consumer", 0.02, failed)


def stand_in() -> Any:
    return StandIn()
