"""The routing, with a filter, a prefix, a class and dotted paths."""

from __future__ import annotations

from channels.routing import include, route, route_class

from tests.channels1.project import consumers

chat_routing = [
    route("websocket.connect", "tests.channels1.project.consumers.join", path=r"^/(?P<room>\w+)$"),
    route("websocket.receive", consumers.say),
    route("websocket.disconnect", consumers.leave),
]

channel_routing = [
    include(chat_routing, path=r"^/chat"),
    route("websocket.connect", consumers.deny, path=r"^/denied$"),
    route_class(consumers.Echo, path=r"^/echo$"),
    route("websocket.receive", consumers.answer, path=r"^/ask$"),
    route("jobs", consumers.job),
    route("jobs.later", consumers.job_later),
]
