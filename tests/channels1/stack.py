"""
The classic stack as processes: daphne, a worker, management commands, on a layer of the test's choice.

Whoever imports this is skipped where Channels 1 is not installed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.channels1.client import WebSocket
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
DJANGO = [sys.executable, "-m", "django"]


def _channels_version() -> str:
    try:
        return importlib.metadata.version("channels")
    except importlib.metadata.PackageNotFoundError:
        return "none"


if not _channels_version().startswith("1."):
    pytest.skip(f"needs Channels 1 (there is {_channels_version()}): tox -e py311-channels1", allow_module_level=True)


class Process:
    """A process that is killed when the test is through with it; ``log`` is what it wrote."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str], directory: Path, fd: int = 2) -> None:
        self._log = directory / f"{name}-{os.urandom(4).hex()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[fd]
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def says(self, words: str, timeout: float = 30) -> None:
        """Returns when it has written ``words``."""
        eventually(lambda: words in self.log or not self.running, timeout=timeout)
        assert words in self.log, self.log

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = 20) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        if self.running:
            self._process.kill()
            self._process.wait()


class Stack:
    """
    The processes of one deployment, all with the settings of ``tests.channels1.project``.

    ``layer`` is the CONFIG of the channel layer, ``database`` a file that has the tables. ``port`` is daphne's,
    ``whose`` says whose worker runs, ``interface_runs`` whether the interface does in the place of daphne.
    """

    def __init__(self, layer: dict[str, object], database: Path, directory: Path, **env: str) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.port = 0
        self.whose = ""
        self.interface_runs = False
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "tests.channels1.project.settings",
            "TEST_LAYER": json.dumps(layer),
            "TEST_DATABASE": str(database),
            **env,
        }

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def start(self, name: str, *command: str, env: dict[str, str] | None = None, fd: int = 2) -> Process:
        process = Process(name, command, {**self.env, **(env or {})}, self._directory, fd)
        self._stack.callback(process.kill)
        return process

    def daphne(self, *options: str) -> Process:
        """Starts daphne on a free port, which takes connections from now on."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            fd = listener.fileno()
            command = [str(Path(sys.executable).parent / "daphne"), "--fd", str(fd), *options]
            return self.start("daphne", *command, "tests.channels1.project.asgi:channel_layer", fd=fd)

    def interface(self) -> Process:
        """Starts uvicorn with ``asgi_redis.interface`` on a free port, in the place of daphne."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "--port", str(self.port), "asgi_redis.interface:application"]
        process = self.start("interface", *command)
        process.says("Uvicorn running on")
        self.interface_runs = True
        return process

    def worker(self, whose: str, *options: str, env: dict[str, str] | None = None) -> Process:
        """Starts ``runworker``: Channels' own ("theirs"), or that of ``workers`` ("ours")."""
        self.whose = whose
        ours = {"TEST_OUR_WORKER": "1"} if whose == "ours" else {}
        process = self.start(whose, *DJANGO, "runworker", *options, env={**ours, **(env or {})})
        process.says("Listening on")
        return process

    def manage(self, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a management command to its end."""
        return subprocess.run(
            [*DJANGO, *command],
            cwd=ROOT,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
        )

    def websocket(self, path: str, **headers: str) -> contextlib.AbstractContextManager[WebSocket]:
        socket_: contextlib.AbstractContextManager[WebSocket] = WebSocket(self.port, path, headers)
        return socket_


def prepare_database(file: Path) -> Path:
    """Makes the tables of all apps of the project."""
    with Stack({}, file, file.parent) as stack:
        ended = stack.manage("migrate", "-v", "0")
        assert ended.returncode == 0, ended.stdout
    return file
