"""
Channels 4's ``runworker`` on channels_redis; this module is the settings, too.

It runs one message at a time. ``SyncConsumer`` runs in a thread of asgiref's, ``AsyncConsumer`` in the event loop;
both are as the documentation has them. The database wrapping of ``SyncConsumer`` finds no database here, and has
nothing to do.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ..recorder import Recorder, the_order

_order = the_order()
_recorder = Recorder(_order)

ASGI_APPLICATION = f"{__name__}.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # Nothing is ever full, and nothing expires while it waits.
        "CONFIG": {
            "hosts": [f"redis://127.0.0.1:{_order['port']}/0"],
            "capacity": 10_000_000,
            "expiry": 3600,
        },
    }
}
INSTALLED_APPS = ["channels"]
LOGGING_CONFIG = None
SECRET_KEY = "benchmarks"


def __getattr__(name: str) -> Any:
    # Made when it is asked for: Channels wants the settings complete before it is imported.
    if name == "application":
        return _application()
    if name == "send":
        return _sender()
    raise AttributeError(name)


def _application() -> Any:
    from channels.consumer import AsyncConsumer, SyncConsumer
    from channels.routing import ChannelNameRouter, ProtocolTypeRouter

    class Sync(SyncConsumer):
        def bench_work(self, message: dict[str, Any]) -> None:
            _recorder.work(message["sent"])

    class Async(AsyncConsumer):
        async def bench_work(self, message: dict[str, Any]) -> None:
            _recorder.begin(message["sent"])
            if _recorder.sleep:
                await asyncio.sleep(_recorder.sleep)
            _recorder.end()

    consumer = Async if os.environ.get("BENCH_CONSUMER") == "async" else Sync
    return ProtocolTypeRouter({"channel": ChannelNameRouter({"bench": consumer.as_asgi()})})


def _sender() -> Any:
    from channels_redis.core import RedisChannelLayer

    layer = RedisChannelLayer(**CHANNEL_LAYERS["default"]["CONFIG"])
    run = asyncio.new_event_loop().run_until_complete
    return lambda sent: run(layer.send("bench", {"type": "bench.work", "sent": sent}))
