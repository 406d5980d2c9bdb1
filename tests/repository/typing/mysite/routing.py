"""Routing, and a worker that is started by code."""

from __future__ import annotations

from asgi_redis import InMemoryChannelLayer
from mysite.consumers import Chat, Echo, Jobs, connect, make_later, make_thumbnail
from workers import Pool, Worker, include, route, route_class
from workers.signals import consumer_finished, consumer_started, worker_ready

websocket_routing = [route("websocket.connect", connect, path=r"^/(?P<room>\w+)/$"), route_class(Echo)]
channel_routing = [
    route("thumbnails", make_thumbnail),
    route("later", make_later),
    route_class(Chat, path=r"^/chat/(?P<room>\w+)/$"),
    Jobs.as_route(),
    include(websocket_routing, path=r"^/ws"),
    include("mysite.other.channel_routing"),
]


def on_ready(sender: object, **kwargs: object) -> None:
    print("ready", sender)


for signal in (worker_ready, consumer_started, consumer_finished):
    signal.connect(on_ready)


def serve() -> int:
    worker = Worker(
        InMemoryChannelLayer(),
        channel_routing,
        pool=Pool(4),
        only_channels=["thumbnails"],
        limits=[("thumb*", 2)],
        shutdown_timeout=10.0,
        burst=True,
    )
    return worker.run()
