"""
The development server: web server, interface, layer and worker in one process.

The order of a stop, in the main thread, within ``STOP_SECONDS``:

1. SIGINT, SIGTERM, a file that has changed, or a part that has failed wakes ``DevelopmentProcess.run``.
2. The web server stops listening. Websockets are closed with 1012, and running requests are waited for.
3. The worker takes the messages that this has left in the layer: ``websocket.disconnect``, for instance.
4. The worker stops. Consumers that still run are logged and left behind.
5. The process ends, at once where something was left behind.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import threading
import time
from queue import Empty, SimpleQueue
from typing import Callable

import uvicorn
from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.interface.asgi import Application
from asgi_redis.layers.base import BaseChannelLayer
from workers.command.request_log import RequestLog
from workers.runtime.stopping import Shutdown
from workers.worker import Worker

logger = logging.getLogger(__name__)

STOP_SECONDS = 4.0
REQUEST_SECONDS = 1  # for running requests; uvicorn takes whole seconds
CONSUMER_SECONDS = 1.0  # for the last messages, and running consumers
POLL_SECONDS = 0.02
WAKE_SECONDS = 0.5
ERROR_CODE = 1

End = Callable[[int], None]


class DevelopmentServer:
    """
    Web server and worker, in threads.

    Args:
        application: The ASGI application to serve.
        channel_layer: The layer that it sends to.
        worker: A worker of that layer, or None where it runs in another process.
    """

    def __init__(self, application: Application, channel_layer: BaseChannelLayer, worker: Worker | None) -> None:
        self.channel_layer = channel_layer
        self._worker = worker
        self._server = uvicorn.Server(
            uvicorn.Config(
                RequestLog(application),
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=REQUEST_SECONDS,
            )
        )
        self._threads: dict[str, threading.Thread] = {}
        self._stopping = False

    def start(self, listener: socket.socket, end: End) -> None:
        """
        Serve until ``stop``.

        Args:
            listener: The socket to listen on; it is closed in the end.
            end: Called with an exit code when the web server or the worker ends before ``stop``.
        """
        if self._worker is not None:
            self._start("worker", self._worker.run, end)
        self._start("server", functools.partial(self._server.run, sockets=[listener]), end)

    def stop(self, deadline: float) -> bool:
        """Stop the web server, then the worker; return whether both have ended in time."""
        self._stopping = True
        self._server.should_exit = True
        ended = self._join("server", deadline)
        if self._worker is not None:
            self._finish(self._worker, min(deadline, time.monotonic() + CONSUMER_SECONDS))
            self._worker.quiet()
            ended = self._join("worker", deadline) and ended and not self._worker.busy
        if ended:
            self.channel_layer.close()
        return ended

    def _start(self, name: str, run: Callable[[], object], end: End) -> None:
        def run_and_tell() -> None:
            try:
                run()
            finally:
                if not self._stopping:
                    logger.critical("The %s has ended", name)
                    end(ERROR_CODE)

        self._threads[name] = threading.Thread(target=run_and_tell, name=name, daemon=True)
        self._threads[name].start()

    def _join(self, name: str, deadline: float) -> bool:
        thread = self._threads.get(name)
        if thread is None:  # it was never started
            return True
        # In pieces: a signal just before a wait is handled after it, and would be taken for a second one.
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(POLL_SECONDS)
        return not thread.is_alive()

    def _finish(self, worker: Worker, deadline: float) -> None:
        """Wait until no message is left for the worker, and no consumer runs."""
        with contextlib.suppress(ConnectionError, TimeoutError):  # the server of the layer is away, as the log tells
            while time.monotonic() < deadline and (worker.busy or self._pending(worker)):
                time.sleep(POLL_SECONDS)

    def _pending(self, worker: Worker) -> bool:
        if "statistics" not in self.channel_layer.extensions:
            return False
        return any(self.channel_layer.channel_statistics(name)["messages_pending"] for name in worker.channels)


class DevelopmentProcess:
    """
    The process that serves; its main thread waits for a reason to stop.

    Attributes:
        server: The server to stop, once there is one.
    """

    def __init__(self) -> None:
        self.server: DevelopmentServer | None = None
        self._ends: SimpleQueue[int | None] = SimpleQueue()  # exit codes, or None for a signal
        self._shutdown = Shutdown(lambda: self._ends.put(None), STOP_SECONDS)
        self._shutdown.ends_process = True
        self._shutdown.late_code = ERROR_CODE  # the usual one means to reload, for Django's reloader and ours

    @property
    def interrupted(self) -> bool:
        """Whether a signal has stopped it."""
        return self._shutdown.signal is not None

    def run(self, start: Callable[[End], None], parent: int | None = None) -> int:
        """
        Start, wait for the reason to stop, and stop; return the exit code.

        To be called in the main thread, at the end of which the process is to end. Where something cannot be stopped
        in time, the process is ended here.

        Args:
            start: Starts threads. It is called with a function, for them to end this process with an exit code.
            parent: The process id of the parent that this process is to end with.
        """
        with self._shutdown:
            start(self._ends.put)
            code = self._wait(parent)
            self._shutdown.late_code = code or ERROR_CODE
            deadline = self._shutdown.begin()
            ended = self.server is None or self.server.stop(deadline)
        return self._shutdown.leave(code, at_once=not ended)

    def _wait(self, parent: int | None) -> int:
        while parent is None or os.getppid() == parent:
            # Not for long: a signal just before the wait does not end it.
            with contextlib.suppress(Empty):
                return self._ends.get(timeout=WAKE_SECONDS) or 0
        logger.warning("The parent process has gone")
        return 0
