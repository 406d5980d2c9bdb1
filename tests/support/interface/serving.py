"""ASGI servers: uvicorn in a thread of the test, and each server that users run as a process."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.support.interface.http import Headers, HttpConnection
from tests.support.interface.websockets import WebSocket
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
APPLICATION = "tests.support.interface.deployed:application"


class Site:
    """A server's port, and clients of it that are closed in the end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._clients = contextlib.ExitStack()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._clients.close()

    def http(self, **options: Any) -> HttpConnection:
        return self._clients.enter_context(HttpConnection(self.port, **options))

    def handshake(self, target: str = "/", headers: Headers = (), **options: Any) -> WebSocket:
        """A websocket whose handshake was sent and not read."""
        return self._clients.enter_context(WebSocket(self.port, target, headers=headers, **options))

    def websocket(self, target: str = "/", headers: Headers = (), **options: Any) -> WebSocket:
        """A websocket that was accepted."""
        return self.handshake(target, headers, **options).opened()


class UvicornThread(Site):
    """uvicorn in a thread, with an event loop of its own."""

    def __init__(self, application: Any, **config: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        super().__init__(self._listener.getsockname()[1])
        settings = {"log_config": None, "timeout_graceful_shutdown": 5, "loop": "asyncio", **config}
        self._server = uvicorn.Server(uvicorn.Config(application, **settings))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), name="uvicorn")

    def __enter__(self) -> UvicornThread:
        self._thread.start()
        eventually(lambda: self._server.started or not self._thread.is_alive())
        assert self._server.started
        return self

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__()
        self.stop()

    def shut_down(self) -> None:
        """Tells it to end, as SIGTERM does."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Ends it as SIGTERM does, and waits for the end."""
        self.shut_down()
        self._thread.join(30)
        assert not self._thread.is_alive(), "uvicorn does not end"


def uvicorn_command(port: int, *options: str) -> list[str]:
    return ["uvicorn", "--port", str(port), "--timeout-graceful-shutdown", "10", *options, APPLICATION]


# The arguments of ``python -m`` by the port; recommended settings as docs/howto/interface.rst has them.
SERVERS = {
    "uvicorn": lambda port: uvicorn_command(port, "--http", "httptools", "--ws", "websockets"),
    "uvicorn-sansio": lambda port: uvicorn_command(port, "--ws", "websockets-sansio"),
    "uvicorn-h11-wsproto": lambda port: uvicorn_command(port, "--http", "h11", "--ws", "wsproto"),
    "daphne": lambda port: ["daphne", "-b", "127.0.0.1", "-p", str(port), APPLICATION],
    "hypercorn": lambda port: ["hypercorn", "--workers", "0", "-b", f"127.0.0.1:{port}", APPLICATION],
    "granian": lambda port: ["granian", "--interface", "asgi", "--port", str(port), APPLICATION],
}


def free_port() -> tuple[int, socket.socket]:
    """A port, and the socket that keeps others from it while a server with SO_REUSEADDR may listen on it."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper.getsockname()[1], keeper


class ServerProcess(Site):
    """
    A server that users run, as a process.

    ``kind`` is one of ``SERVERS``, or a command with ``{port}`` in it. ``settings`` are Django's for
    ``tests.support.interface.deployed``, whose application it serves.
    """

    def __init__(
        self, kind: str | list[str], settings: dict[str, Any], directory: Path, env: dict[str, str] | None = None
    ) -> None:
        port, self._keeper = free_port()
        super().__init__(port)
        arguments = SERVERS[kind](port) if isinstance(kind, str) else [part.format(port=port) for part in kind]
        if importlib.util.find_spec(arguments[0]) is None:
            self._keeper.close()
            pytest.skip(f"{arguments[0]} is not installed")
        self._log = directory / f"{arguments[0]}-{port}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "TEST_SETTINGS": json.dumps(settings),
            **(env or {}),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> ServerProcess:
        eventually(lambda: self._listens() or self.process.poll() is not None, timeout=40)
        assert self.process.poll() is None, self.log
        return self

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__()
        try:
            self.terminate()
        finally:
            self._keeper.close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._keeper.close()
            if exc_info and exc_info[0] is not None:
                sys.stdout.write(self.log)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except ConnectionRefusedError:
            return False
        return True

    @property
    def log(self) -> str:
        return self._log.read_text()

    def shut_down(self) -> None:
        """Tells it to end, and does not wait."""
        if self.process.poll() is None:
            self.process.terminate()

    def terminate(self) -> None:
        """Ends it by SIGTERM, and by SIGKILL where that is not enough."""
        self.shut_down()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """Ends it and its workers as a crash does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
