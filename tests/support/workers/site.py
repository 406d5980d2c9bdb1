"""A Django project with a chat, and its development server as a process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.interface.http import Answer, HttpConnection
from tests.support.interface.websockets import WebSocket
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT, WorkerProcess

MANAGE_PY = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "site_of_test.settings"
execute_from_command_line(sys.argv)
"""

SETTINGS_PY = """
from pathlib import Path
SECRET_KEY = "x"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_of_test.urls"
INSTALLED_APPS = ["workers", "django.contrib.staticfiles"]
STATIC_URL = "/static/"
STATICFILES_DIRS = [Path(__file__).parent / "static"]
CHANNEL_LAYERS = {"default": {"ROUTING": "site_of_test.routing.routing"}}
"""

URLS_PY = """
import time
from django.http import HttpResponse
from django.urls import path


def hello(request):
    return HttpResponse("hello")


def slow(request):
    print("slow has begun", flush=True)
    time.sleep(60)


urlpatterns = [path("hello/", hello), path("slow/", slow)]
"""

ROUTING_PY = """
import time
from workers import Group, route


def connect(message):
    message.reply_channel.send({"accept": True})
    Group("room").add(message.reply_channel)


def receive(message):
    if message["text"] == "fail":
        raise ValueError("a fault of the consumer")
    if message["text"] == "hold":
        print("it holds", flush=True)
        time.sleep(60)
    Group("room").send({"text": message["text"]})


def disconnect(message):
    # In one piece: other threads write, too.
    print(f"disconnected with {message['code']}\\n", end="", flush=True)


routing = [
    route("websocket.connect", connect),
    route("websocket.receive", receive),
    route("websocket.disconnect", disconnect),
]
"""


RELOADING = "changed, reloading"
SAVE_SECONDS = 3.0  # the reloader looks once a second
PATIENCE_SECONDS = 60.0  # a restart takes two starts of Python, on a busy machine


def make_site(directory: Path) -> Path:
    """Writes the project, and returns its package."""
    package = directory / "site_of_test"
    (package / "static").mkdir(parents=True)
    (directory / "manage.py").write_text(MANAGE_PY)
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(SETTINGS_PY)
    (package / "urls.py").write_text(URLS_PY)
    (package / "routing.py").write_text(ROUTING_PY)
    (package / "static" / "style.css").write_text("body {}")
    # So that a change, by a clock of whole seconds, is seen in any case.
    for path in package.glob("*.py"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    return package


class DevelopmentSite(WorkerProcess):
    """``manage.py runserver`` on a free port; ``log`` is all that it wrote."""

    def __init__(self, directory: Path, *flags: str, address: str = "127.0.0.1:0", wait: bool = True) -> None:
        command = [sys.executable, "-W", "ignore", "manage.py", "runserver", address, *flags]
        # With bytecode on disk it starts in a third of the time.
        env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
        super().__init__(command, directory, cwd=directory, env=env, leads_group=True)
        if wait:
            self.serves()

    def __exit__(self, *exc_info: object) -> None:
        if self.running:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(30)
        super().__exit__(*exc_info)

    @property
    def banners(self) -> list[str]:
        return re.findall(r"Starting .*development server at (\S+)", self.log)

    @property
    def port(self) -> int:
        return int(self.banners[-1].rstrip("/").rpartition(":")[2])

    def serves(self, times: int = 1) -> None:
        """Returns when it has said so a number of times."""
        eventually(lambda: len(self.banners) >= times or not self.running, timeout=PATIENCE_SECONDS)
        assert len(self.banners) == times, self.log

    def says(self, words: str) -> None:
        """Returns when it has written some words."""
        eventually(lambda: words in self.log or not self.running, timeout=PATIENCE_SECONDS)
        assert words in self.log, self.log

    def save(self, path: Path, text: str) -> None:
        """
        Writes a file, and returns when that was noticed.

        Django's reloader misses a change that comes while it starts, so the time of the file goes on.
        """
        changes = self.log.count(RELOADING)
        path.write_text(text)
        saved = last = time.time()

        def noticed() -> bool:
            nonlocal last
            if self.log.count(RELOADING) > changes:  # first: with a later time the next process would reload, too
                return True
            if time.time() > last + SAVE_SECONDS:
                last = time.time()
                os.utime(path, (last, 2 * last - saved))
            return False

        eventually(noticed, timeout=PATIENCE_SECONDS)

    def connect(self) -> HttpConnection:
        connection = HttpConnection(self.port)
        connection.socket.settimeout(PATIENCE_SECONDS)
        return connection

    def get(self, path: str) -> Answer:
        with self.connect() as connection:
            return connection.request("GET", path)

    def socket(self, path: str = "/chat/") -> WebSocket:
        client = WebSocket(self.port, path)
        client.socket.settimeout(PATIENCE_SECONDS)
        return client.opened()

    def signal_all(self, number: int) -> None:
        """Sends a signal to all its processes, as a terminal does at Ctrl-C."""
        os.killpg(self.pid, number)

    @property
    def gone(self) -> bool:
        """Whether none of its processes is there any more."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def children(self) -> list[int]:
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]
