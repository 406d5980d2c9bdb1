"""The routing of the project: by its path, a socket is served in order or not, or is held."""

from __future__ import annotations

from deployed import consumers

from workers import route
from workers.sessions import enforce_ordering

routing = [
    route("websocket.connect", enforce_ordering(consumers.connect), path="/ordered"),
    route("websocket.receive", enforce_ordering(consumers.receive), path="/ordered"),
    route("websocket.disconnect", enforce_ordering(consumers.disconnect), path="/ordered"),
    route("websocket.connect", consumers.connect),
    route("websocket.receive", consumers.hold, path="/hold"),
    route("websocket.receive", consumers.receive),
    route("websocket.disconnect", consumers.disconnect),
]
