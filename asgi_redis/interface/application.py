"""The ASGI application."""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from typing import TYPE_CHECKING, cast

from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.aio.pipelined import asynchronous
from asgi_redis.aio.runner import call_in_thread
from asgi_redis.engine.reporter import Reporter
from asgi_redis.integrations.django import get_channel_layer
from asgi_redis.interface.asgi import Receive, Scope, Send
from asgi_redis.interface.http import HTTPRequest
from asgi_redis.interface.options import InterfaceOptions, of_settings
from asgi_redis.interface.reports import ConnectionCounts, reporter_of
from asgi_redis.interface.server_end import watch_for_end
from asgi_redis.interface.services import Services
from asgi_redis.interface.websocket import LEAVING_SECONDS, RESTART, WebSocket
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.options import resolve, takes
from asgi_redis.layers.pubsub import RedisPubSubChannelLayer
from asgi_redis.process import fork

if TYPE_CHECKING:
    from typing_extensions import Unpack

_CLOSE_TIMEOUT_SECONDS = 5.0
_EXIT_TIMEOUT_SECONDS = 1.0


class Interface:
    """
    An ASGI application that passes connections on to the consumers of workers.

    It holds the sockets of clients and knows nothing of the project's code: requests, frames and replies are messages
    of a channel layer. For a server of ASGI 3; one object serves any number of event loops, and processes that are
    forked later.

    ``layer`` is an alias in Django's ``CHANNEL_LAYERS``, a synchronous layer, or one of ``asgi_redis.aio``. With an
    alias, the layer is made when the server starts or the first client connects, and Django's ``CHANNEL_INTERFACE``
    has the options that are not given here.
    """

    @takes(InterfaceOptions, "Make the application.")
    def __init__(
        self, layer: str | BaseChannelLayer | AsyncChannelLayer = "default", **options: Unpack[InterfaceOptions]
    ) -> None:
        resolve(self, InterfaceOptions, options)  # mistakes are errors here
        self._layer = layer
        self._options = options
        self._services: Services | None = None
        self.start_process()
        fork.register(self)
        _interfaces.add(self)

    def start_process(self) -> None:
        """Start without connections: those are the parent's."""
        self._lock = threading.Lock()
        self._sockets: set[WebSocket] = set()
        self._counts = ConnectionCounts()
        self._reporter: Reporter | None = None
        self._is_served = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Raise ``ValueError`` for a type of scope that is none."""
        if scope["type"] == "http":
            services = self.services()
            self._counts.begin_request()
            try:
                await HTTPRequest(services, scope, receive, send).run()
            finally:
                self._counts.end_request()
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        else:
            raise ValueError(f"the interface serves http, websocket and lifespan, not {scope['type']!r}")

    def services(self) -> Services:
        """Return the parts that the connections share. Raises as ``get_channel_layer``."""
        fork.check()
        if not self._is_served:
            with self._lock:
                if self._services is None:
                    self._services = self._make_services()
                if not self._is_served:
                    self._report(self._services.layer.layer)
                self._is_served = True
        services = self._services
        assert services is not None
        return services

    def _report(self, layer: BaseChannelLayer) -> None:
        """Begin to report this process to monitors."""
        if layer.registry is not None:
            self._reporter = reporter_of(layer.registry, layer.client_prefix, self._counts)
            # The thread holds no reference to this object: it may be collected while that runs.
            weakref.finalize(self, self._reporter.end).atexit = False
            self._reporter.start()

    def _leave_layer(self) -> None:
        """End what would use the layer again after the application has closed it."""
        self._end_reports()
        if self._services is not None:
            self._services.replies.close(_EXIT_TIMEOUT_SECONDS, only_idle=True)

    def _end_reports(self) -> None:
        """Delete the entry of this process, until there is another connection."""
        with self._lock:
            reporter, self._reporter, self._is_served = self._reporter, None, False
        if reporter is not None:
            reporter.stop()

    def _make_services(self) -> Services:
        options = self._options
        layer = self._layer
        if isinstance(layer, str):
            layer = get_channel_layer(layer)
            from django.conf import settings  # here: a layer object needs no Django

            options = cast(InterfaceOptions, {**of_settings(settings), **options})
        layer = asynchronous(layer)
        if isinstance(layer.layer, RedisPubSubChannelLayer):
            raise ValueError("the interface needs a layer with queues, and RedisPubSubChannelLayer has none")
        return Services.on(layer, resolve(self, InterfaceOptions, options))

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self.services()
        watch_for_end(asyncio.get_running_loop(), _close_all_sockets)
        socket = WebSocket(services, scope, receive, send)
        too_many = len(self._sockets) >= services.settings["max_sockets"]
        self._sockets.add(socket)
        self._counts.sockets = len(self._sockets)
        try:
            await socket.run(too_many)
        finally:
            self._sockets.discard(socket)
            self._counts.sockets = len(self._sockets)

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            self.services()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await self.close_sockets()
        await self.services().farewells.settle(LEAVING_SECONDS)
        await call_in_thread(self._leave_layer, asyncio.get_running_loop())
        await send({"type": "lifespan.shutdown.complete"})

    async def close_sockets(self) -> None:
        """Close the websockets of this loop with 1012, and wait for their ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSE_TIMEOUT_SECONDS
        own = {socket for socket in list(self._sockets) if socket.loop is loop}
        for socket in own:
            socket.close(RESTART)
        while own & self._sockets and loop.time() < deadline:
            await asyncio.sleep(0.01)

    def close_at_exit(self) -> None:
        """Say the farewells that no event loop will send any more, and end the thread."""
        fork.check()
        services = self._services
        if services is not None:
            joined = [socket for socket in list(self._sockets) if socket.joined]
            services.farewells.send_at_exit([socket.farewell(RESTART) for socket in joined])
            services.replies.close(_EXIT_TIMEOUT_SECONDS)
        self._end_reports()


_interfaces: weakref.WeakSet[Interface] = weakref.WeakSet()


async def _close_all_sockets() -> None:
    await asyncio.gather(*(interface.close_sockets() for interface in list(_interfaces)))


@atexit.register
def _close_all() -> None:
    for interface in list(_interfaces):
        interface.close_at_exit()
