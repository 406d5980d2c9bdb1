"""A site moves to another layer, and back, by the steps and with the code of docs/howto/change_layer.rst."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.integrations.django import make_channel_layer
from tests.support.clusters import run_cluster
from tests.support.documents.pages import Page
from tests.support.interface.serving import free_port
from tests.support.interface.websockets import Closed, WebSocket
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, ROOT, WorkerProcess

pytestmark = [pytest.mark.native("signals and processes"), pytest.mark.timeout(300)]

PAGE = Page(ROOT / "docs" / "howto" / "change_layer.rst")
CLUSTER = PAGE.file("mysite/settings.py (add at the end)")
SETTINGS = "SECRET_KEY = 'x'\nINSTALLED_APPS = ['workers']\nUSE_TZ = True\n"
RECORDS = """

import os

from mysite.announcements import announce

_records = os.open(f"{os.environ['RECORDS']}/{os.getpid()}.records", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def received(message):
    message.reply_channel.send({"text": message["text"]})


def job(message):
    os.write(_records, f"{message['number']}\\n".encode())
"""
ROUTING = """
from workers import route

from mysite import consumers

channel_routing = [
    route("websocket.connect", consumers.connected),
    route("websocket.receive", consumers.received),
    route("websocket.disconnect", consumers.disconnected),
    route("jobs", consumers.job),
]
"""


class Jobs:
    """A thread that sends numbered jobs to ``layer``; each tenth is a delayed one."""

    def __init__(self, layer: RedisChannelLayer) -> None:
        self.layer = layer
        self.sent = 0
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Jobs:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._has_ended.wait(0.005):
            layer, job = self.layer, {"number": self.sent}
            if self.sent % 10:
                layer.send("jobs", job)
            else:
                layer.delayed.send("jobs", job, 1)
            self.sent += 1


class Site(contextlib.ExitStack):
    """The processes of the project, which begin with the settings that are written at that time."""

    def __init__(self, folder: Path, urls: dict[str, str]) -> None:
        super().__init__()
        self._folder, self._urls = folder, urls
        project = folder / "mysite"
        project.mkdir()
        (project / "__init__.py").touch()
        (project / "routing.py").write_text(ROUTING)
        (project / "announcements.py").write_text(PAGE.file("mysite/announcements.py"))
        (project / "consumers.py").write_text(PAGE.file("mysite/consumers.py") + RECORDS)
        (project / "asgi.py").write_text("from asgi_redis.interface import application\n")
        self.old_workers: list[WorkerProcess] = []
        self.all: list[WorkerProcess] = []

    def write_settings(self, *changes: str) -> dict[str, Any]:
        """Writes the settings of the page, changed by code below them, and returns the layers."""
        code = "\n".join([PAGE.file("mysite/settings.py"), *changes])
        for shown, url in self._urls.items():
            code = code.replace(shown, url)
        (self._folder / "mysite" / "settings.py").write_text(SETTINGS + code)
        settings: dict[str, Any] = {}
        exec(code, settings)
        layers: dict[str, Any] = settings["CHANNEL_LAYERS"]
        return layers

    def start(self, command: list[str], words: str) -> WorkerProcess:
        environment = {
            "PYTHONPATH": f"{self._folder}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "RECORDS": str(self._folder),
        }
        process = self.enter_context(WorkerProcess(command, self._folder, cwd=self._folder, env=environment))
        self.all.append(process)
        eventually(lambda: words in process.log or not process.running, timeout=60)
        assert words in process.log, process.log
        return process

    def start_worker(self, *flags: str) -> WorkerProcess:
        return self.start([*MODULE, "--threads", "4", *flags], "Listening on")

    def start_interface(self) -> tuple[WorkerProcess, int]:
        port, keeper = free_port()
        self.enter_context(keeper)
        command = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port)]
        # The test reads its sockets rarely where processes take long to start.
        return self.start([*command, "--ws-ping-interval", "600"], "Uvicorn running"), port

    def websockets(self, port: int) -> list[WebSocket]:
        """Opens some, which have been answered."""
        sockets = [self.enter_context(WebSocket(port)).opened() for _ in range(5)]
        self.say(sockets)
        return sockets

    def say(self, sockets: list[WebSocket]) -> None:
        """Each socket says something and is answered."""
        for number, socket in enumerate(sockets):
            socket.send(f"frame {number}")
        assert [socket.receive() for socket in sockets] == [f"frame {number}" for number in range(len(sockets))]

    def announce(self, sockets: list[WebSocket]) -> None:
        """Each socket gets what is sent to the group, once."""
        code = "import django; django.setup(); from mysite.announcements import announce; announce('hello')"
        assert self.start([sys.executable, "-c", f"{code}; print('done')"], "done").wait() == 0
        assert [socket.receive() for socket in sockets] == ["hello"] * len(sockets)
        self.say(sockets)  # and nothing else

    def done(self) -> Counter[int]:
        """Returns how often each job was done."""
        lines = [line for path in self._folder.glob("*.records") for line in path.read_text().split()]
        return Counter(map(int, lines))


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    pytest.importorskip("django")
    with contextlib.ExitStack() as stack:
        urls = {f"redis://{name}:6379/0": stack.enter_context(RedisServer()).url for name in ("redis1", "redis2")}
        if "soak" in request.keywords:
            cluster = stack.enter_context(run_cluster(masters=2))
            urls.update(zip(("redis://node1:6379", "redis://node2:6379"), cluster.urls))
        yield stack.enter_context(Site(tmp_path, urls))


def is_empty(layer: RedisChannelLayer) -> bool:
    delayed = layer.inspector.delayed(1)
    return not layer.channel_statistics("jobs")["messages_pending"] and not delayed.messages


def move(site: Site, layers: dict[str, Any], jobs: Jobs, workers: list[WorkerProcess], interface: Any) -> Any:
    """Steps 3 to 7, and a look at each that nothing is missed; returns the new workers and interface."""
    server, port = interface
    sockets = site.websockets(port)
    new, old = [site.start_worker()], [site.start_worker("--layer", "old")]
    for worker in workers:
        worker.stop()
    site.say(sockets)
    new_server, new_port = site.start_interface()
    new_sockets = site.websockets(new_port)
    site.announce([*sockets, *new_sockets])
    server.signal(15)
    for socket in sockets:
        with pytest.raises(Closed) as closed:
            socket.receive()
        assert closed.value.code == 1012
    old_layer, jobs.layer = jobs.layer, make_channel_layer("default", layers)
    eventually(lambda: is_empty(old_layer), timeout=30)
    for worker in old:
        worker.stop()
    old_layer.close()
    site.announce(new_sockets)
    return new, (new_server, new_port)


EXCHANGED = """
CHANNEL_LAYERS["default"], CHANNEL_LAYERS["old"] = CHANNEL_LAYERS["old"], CHANNEL_LAYERS["default"]
"""


@pytest.mark.parametrize("new", ["", pytest.param(CLUSTER, marks=pytest.mark.soak)], ids=["shards", "cluster"])
def test_a_move_and_the_way_back_lose_and_double_nothing(site: Site, new: str) -> None:
    layers = site.write_settings("CHANNEL_LAYERS = {'default': CHANNEL_LAYERS['old']}")
    workers, interface = [site.start_worker()], site.start_interface()
    with Jobs(make_channel_layer("default", layers)) as jobs:
        for change in ("", EXCHANGED):
            layers = site.write_settings(new, change)
            workers, interface = move(site, layers, jobs, workers, interface)
    eventually(lambda: is_empty(jobs.layer) and len(site.done()) == jobs.sent, timeout=30)
    jobs.layer.close()
    assert jobs.sent > 200
    assert set(site.done().values()) == {1}
    for process in site.all:
        assert not re.search(r"ERROR|Traceback", process.log), process.log
