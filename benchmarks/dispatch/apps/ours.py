"""The worker of this checkout."""

from __future__ import annotations

from typing import Any

from asgi_redis import RedisChannelLayer
from workers import route

from ..recorder import Recorder, the_order

_order = the_order()
_recorder = Recorder(_order)
# For sending: no channel is ever full. The worker has another layer.
_layer = RedisChannelLayer(hosts=[f"redis://127.0.0.1:{_order['port']}/0"], capacity=10_000_000)


def work(message: Any) -> None:
    """Run the consumer."""
    _recorder.work(message["sent"])


routing = [route("bench", work)]


def send(sent: float) -> None:
    """See ``apps``."""
    _layer.send("bench", {"sent": sent})
