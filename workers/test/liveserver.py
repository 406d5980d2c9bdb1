"""A test case with a server: for browsers, and for real clients of websockets."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import TransactionTestCase

from asgi_redis import InMemoryChannelLayer
from asgi_redis.integrations.django import register_layer
from asgi_redis.interface import Interface
from workers.asgi import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from workers.compat.views import with_views
from workers.runtime.pool import Pool
from workers.signals import consumer_finished
from workers.worker import Worker

START_SECONDS = 10.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.01


class ChannelLiveServerTestCase(TransactionTestCase):
    """
    A ``TransactionTestCase`` with a web server and a worker in threads.

    The layer is the default one by its ``TEST_CONFIG``, flushed; without a ``TEST_CONFIG`` it is in memory. The
    database must not be in memory: the threads have their own connections. Needs uvicorn:
    ``asgi_redis[server]``.

    Attributes:
        host: The name that the server listens on.
        serve_static: Whether to serve the files of ``django.contrib.staticfiles``.
        worker_threads: The slots of the worker.
    """

    host: ClassVar[str] = "localhost"
    serve_static: ClassVar[bool] = True
    worker_threads: ClassVar[int] = 1

    @property
    def live_server_url(self) -> str:
        """The address of the server."""
        return f"http://{self.host}:{self._port}"

    @property
    def live_server_ws_url(self) -> str:
        """The address for websockets."""
        return f"ws://{self.host}:{self._port}"

    def run(self, result: Any = None) -> Any:
        """
        Run the test while the server and the worker run, unless it is skipped.

        Where they cannot, that is an error of the test, and the others go on.
        """
        method = getattr(self, self._testMethodName)
        if any(getattr(skipped, "__unittest_skip__", False) for skipped in (type(self), method)):
            return super().run(result)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._served())
            except Exception:
                if result is None:
                    raise
                result.startTest(self)
                result.addError(self, sys.exc_info())
                result.stopTest(self)
                return result
            return super().run(result)

    def debug(self) -> None:
        """Run the test likewise, without collecting its errors."""
        with self._served():
            super().debug()

    @contextlib.contextmanager
    def _served(self) -> Iterator[None]:
        _refuse_databases_in_memory()
        wrapper = _layer_for_tests()
        before = register_layer(DEFAULT_CHANNEL_LAYER, wrapper.channel_layer)
        try:
            static = self.serve_static and apps.is_installed("django.contrib.staticfiles")
            worker = Worker(wrapper, with_views(wrapper.router, static), pool=Pool(self.worker_threads))
            with _working(worker), _listening(self.host, Interface(wrapper.channel_layer)) as self._port:
                yield
        finally:
            register_layer(DEFAULT_CHANNEL_LAYER, before)
            wrapper.channel_layer.close()


@contextlib.contextmanager
def _working(worker: Worker) -> Iterator[None]:
    # A thread has connections that no other may use, nor close.
    consumer_finished.connect(_close_connections, dispatch_uid=__name__)
    thread = threading.Thread(target=worker.run, name="live-worker")
    thread.start()
    try:
        yield
    finally:
        worker.quiet()
        thread.join()
        consumer_finished.disconnect(dispatch_uid=__name__)


@contextlib.contextmanager
def _listening(host: str, application: Interface) -> Iterator[int]:
    import uvicorn  # here: the other test cases do without

    address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(address[0], socket.SOCK_STREAM) as listener:
        listener.bind(address[4])
        server = uvicorn.Server(
            uvicorn.Config(
                application, log_config=None, log_level="warning", timeout_graceful_shutdown=int(STOP_SECONDS)
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="live-server")
        thread.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the live server has not started: its log says why")
                time.sleep(POLL_SECONDS)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _layer_for_tests() -> ChannelLayerWrapper:
    alias = DEFAULT_CHANNEL_LAYER
    if "TEST_CONFIG" not in channel_layers.configs.get(alias, {}):
        return ChannelLayerWrapper(InMemoryChannelLayer(), alias, channel_layers.configs[alias]["ROUTING"])
    wrapper = channel_layers.make_test_backend(alias)
    wrapper.channel_layer.flush()
    return wrapper


def _refuse_databases_in_memory() -> None:
    connection: Any  # a method of the SQLite backend
    for connection in connections.all():
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            raise ImproperlyConfigured(
                f"a live server cannot have the database {connection.alias!r} in memory: give it a TEST NAME, a file"
            )


def _close_connections(**_: Any) -> None:
    connections.close_all()
