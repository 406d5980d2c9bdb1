"""A browser without a screen, and the chat example's processes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.browser import run_chromium
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT, WorkerProcess

CHAT = ROOT / "examples" / "chat"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Selenium's driver of a chromium; the tests are skipped where one of the parts is missing."""
    for package in ("daphne", "channels", "gevent"):
        pytest.importorskip(package, reason=f"no {package}: pip install -r tests/browser/requirements.txt")
    with run_chromium() as running:
        yield running


class Chat:
    """The chat example at work: daphne and a gevent worker, each a process, until ``stack`` closes."""

    def __init__(self, url: str, backend: str, directory: Path, stack: contextlib.ExitStack) -> None:
        self._directory = directory
        self._env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": url,
            "CHANNEL_BACKEND": backend,
            "DJANGO_SETTINGS_MODULE": "chat.settings",
        }
        self._stack = stack
        self.layer = self._stack.enter_context(RedisChannelLayer(hosts=[url]))
        self.daphne = self._start("daphne", "-b", "127.0.0.1", "-p", "0", "chat.asgi:application")
        self.worker = self._start(
            "django", "runworker", "--routing", "chat.routing.channel_routing", "--pool", "gevent"
        )
        for process in (self.daphne, self.worker):
            process.listens()
        port = eventually(lambda: re.search(r"TCP address 127\.0\.0\.1:(\d+)", self.daphne.log))
        assert port is not None
        self.url = f"http://127.0.0.1:{port[1]}/"

    def _start(self, module: str, *arguments: str) -> WorkerProcess:
        command = [sys.executable, "-m", module, *arguments]
        return self._stack.enter_context(WorkerProcess(command, self._directory, CHAT, self._env))

    def manage(self, *arguments: str) -> None:
        """Runs a management command to its end."""
        command = [sys.executable, "manage.py", *arguments]
        ended = subprocess.run(command, cwd=CHAT, env=self._env, capture_output=True, text=True, timeout=30)
        assert ended.returncode == 0, ended.stderr

    @property
    def members(self) -> list[str]:
        """The channels in the room."""
        return self.layer.group_channels("chat.lobby")


@pytest.fixture
def chat_on(tmp_path: Path) -> Iterator[Callable[..., Chat]]:
    """``chat_on(redis)`` starts the example, until the test is over; ``options`` go to the end of the URL."""
    with contextlib.ExitStack() as stack:

        def start(redis: RedisServer, backend: str = "asgi_redis.aio.RedisChannelLayer", options: str = "") -> Chat:
            return Chat(redis.url + options, backend, tmp_path, stack)

        yield start
