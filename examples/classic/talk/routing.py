"""Which consumer gets the messages of which channel. All other HTTP requests go to ``urls.py``."""

from talk import bot, consumers
from workers import include, route

sockets = [
    route("websocket.connect", consumers.connect),
    route("websocket.receive", consumers.receive),
    route("websocket.disconnect", consumers.disconnect),
]
channel_routing = [
    include(sockets, path=r"/ws/(?P<room>[-a-zA-Z0-9_]{1,50})/$"),
    route("bot", bot.roll),
]
