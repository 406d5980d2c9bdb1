"""The guides to layers, monitoring and tracing: their programs run, and their commands are there."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.integrations.django import make_channel_layer
from tests.support.documents.pages import Page, Prose
from tests.support.guides import SETTINGS_FILE, Guide, Project

pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]
SETTINGS_OF_THE_ADMIN = """
INSTALLED_APPS += ["django.contrib.admin", "django.contrib.messages"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
SILENCED_SYSTEM_CHECKS = ["admin.E402", "admin.E404", "admin.E409"]
"""
VISITS = """
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"

import django

django.setup()

from django.contrib.auth.models import Permission, User
from django.test import Client

client = Client()
answer = client.get("/channels/")
found = [answer.status_code, answer["Location"]]
for is_staff in (False, True):
    client.force_login(User.objects.create_user(f"user{is_staff}", is_staff=is_staff))
    found.append(client.get("/channels/").status_code)
permissions = Permission.objects.filter(content_type__app_label="workers")
print([*found, *sorted(permissions.values_list("codename", flat=True))])
"""
ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"


def run(code: str, folder: Path, redis_url: str) -> str:
    """Returns what a program of a page prints."""
    (folder / "program.py").write_text(code.replace("redis://localhost:6379/0", redis_url))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestChooseALayer:
    page = Page(HOWTO / "choose_a_layer.rst")

    def test_its_program_prints_what_it_shows(self, tmp_path: Path, redis_server: RedisServer) -> None:
        printed = run(self.page.file("greetings.py"), tmp_path, redis_server.url)
        (shown,) = [block.text for block in self.page.blocks("console") if "greetings.py" in block.text]
        assert shown == f"$ python greetings.py\n{printed}"

    def test_its_settings_make_the_layers_that_it_names(self, tmp_path: Path) -> None:
        pytest.importorskip("lmdb")
        made = set()
        for code in [block.text for block in self.page.blocks("python") if block.caption == SETTINGS_FILE]:
            names: dict[str, Any] = {}
            exec(code, names)
            settings = names["CHANNEL_LAYERS"]
            if settings["default"]["BACKEND"].endswith(".IPCChannelLayer"):
                settings["default"]["CONFIG"]["path"] = str(tmp_path)
            with make_channel_layer("default", settings) as layer:
                made.add(type(layer).__name__)
        prose = " ".join(part.text for part in self.page.parts if isinstance(part, Prose))
        assert made == set(re.findall(r"``(\w+ChannelLayer)`` Needs", prose)) - {"InMemoryChannelLayer"}


class TestOwnLayer:
    page = Page(HOWTO / "own_layer.rst")

    def test_the_example_has_sixty_lines(self) -> None:
        _, code = (ROOT / "examples" / "toy_layer.py").read_text().split("\n\n", 1)
        assert len([line for line in code.split("\n") if line and '"""' not in line]) <= 60

    def test_the_settings_make_it(self) -> None:
        settings: dict[str, Any] = {}
        exec(self.page.file("mysite/settings.py"), settings)
        assert make_channel_layer("default", settings["CHANNEL_LAYERS"]).capacity == 50

    def test_the_option_is_checked_and_known(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "sized_layer.py").write_text(self.page.file("sized_layer.py"))
        monkeypatch.syspath_prepend(tmp_path)
        layer = importlib.import_module("sized_layer").SizedChannelLayer
        assert layer(size=10, capacity=5).size == 10
        with pytest.raises(TypeError, match="size"):
            layer(sise=10)
        with pytest.raises(ValueError, match="size"):
            layer(size=0)

    def test_the_suite_passes(self, tmp_path: Path) -> None:
        (tmp_path / "test_toy_layer.py").write_text(self.page.file("test_toy_layer.py"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "group", "test_toy_layer.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout
        assert " passed" in done.stdout


class TestTrace:
    page = Page(HOWTO / "trace.rst")

    def test_the_program_prints_the_spans_of_the_page(self, tmp_path: Path, redis_server: RedisServer) -> None:
        pytest.importorskip("opentelemetry.sdk")
        printed = run(self.page.file("traced.py"), tmp_path, redis_server.url)
        names = re.findall(r'^    "name": "(.+)"', printed, re.MULTILINE)
        assert sorted(names) == ["process resize", "send resize", "send resized", "upload"]

    def test_a_worker_of_the_project_prints_spans(self, tmp_path: Path, redis_server: RedisServer) -> None:
        pytest.importorskip("opentelemetry.sdk")
        project = Project(tmp_path, redis_server.url)
        for page, section in [
            ("consumers.rst", "Set the project up"),
            ("consumers.rst", "Handle a message"),
            ("trace.rst", "Switch it on in your project"),
        ]:
            project.add(Guide(page, section))
        with RedisChannelLayer(hosts=[redis_server.url]) as layer:
            layer.send("thumbnails", {"id": 42})
        printed = project.run("python", "manage.py", "runworker", "--burst")
        assert '"name": "process thumbnails"' in printed

    def test_the_other_code_can_be_imported(self, tmp_path: Path, redis_server: RedisServer) -> None:
        pytest.importorskip("opentelemetry.sdk")
        pytest.importorskip("channels")
        for file in ("mysite/tracing.py", "mysite/consumers.py"):
            run(self.page.file(file), tmp_path, redis_server.url)


class TestMonitor:
    page = Page(HOWTO / "monitor.rst")

    def commands(self) -> list[str]:
        lines = [line for block in self.page.blocks("console") for line in block.text.splitlines()]
        return [line[2:] for line in lines if line.startswith("$ asgi-redis")]

    def test_every_command_runs(
        self, redis_server: RedisServer, prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
    ) -> None:
        """All but the live view and the web page, on a layer with a message and a group."""
        from asgi_redis.__main__ import main

        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
            layer.send("thumbnails", {"id": 1})
            layer.group_add("editors", "websocket.send.a!b")
        monkeypatch.setenv("ASGI_REDIS_URL", redis_server.url)
        printed = {}
        for command in self.commands():
            words = shlex.split(re.split(r"[|]", command)[0].replace("--settings mysite.settings", ""))[1:]
            if words[0] != "monitor" or "--json" in words:
                assert main([*words, "--prefix", prefix]) == 0, command
                printed[command] = capsys.readouterr().out
        assert len(printed) > 10
        shown = {command.partition(" --")[0]: text for command, text in printed.items()}
        assert re.search(r"^thumbnails +1 ", shown["asgi-redis channels thumbnails mail"], re.MULTILINE)
        assert "websocket.send.a!b" in shown["asgi-redis groups editors"]
        (purged,) = [json.loads(text) for command, text in printed.items() if ".[0].waiting" in command]
        assert purged[0]["waiting"] == 0

    def test_the_program_counts_what_waits(self, tmp_path: Path, fresh_redis_server: RedisServer) -> None:
        with RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer:
            layer.send("thumbnails", {"id": 1})
        assert run(self.page.file("look.py"), tmp_path, fresh_redis_server.url) == "1\n"

    def test_the_page_in_a_project_is_for_the_staff(self, tmp_path: Path, redis_server: RedisServer) -> None:
        project = Project(tmp_path, redis_server.url).add(Guide("send.rst", "Prepare the project"))
        project.write(f"{SETTINGS_FILE} (add at the end)", SETTINGS_OF_THE_ADMIN)
        project.add(Guide("monitor.rst"))
        project.write("visits.py", VISITS)
        shell = f"{shlex.quote(sys.executable)} manage.py"
        project.run("sh", "-c", f"{shell} migrate && {shell} shell < permissions.py")
        found = [302, "/admin/login/?next=/channels/", 403, 200, "manage_channels", "read_messages"]
        assert str(found) in project.run("python", "visits.py")
