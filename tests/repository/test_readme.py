"""The README: short, right wherever it is shown, and its snippets work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer, aio

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()
SITE = "https://asgi-redis.readthedocs.io/en/latest/"
FILES = (
    "https://github.com/django/asgi_redis/blob/main/",
    "https://raw.githubusercontent.com/django/asgi_redis/main/",
)
TARGETS = [*re.findall(r"<(\S+)>`__?", README), *re.findall(r":: (\S+\.(?:png|svg))", README)]
SNIPPETS = [textwrap.dedent(code) for code in re.findall(r"\.\. code-block:: python\n\n((?: {4}.*\n|\n)+)", README)]


def test_it_is_short():
    assert len(README.splitlines()) <= 180


def test_its_links_and_pictures_are_absolute_so_that_pypi_shows_them():
    assert len(TARGETS) > 10
    assert [target for target in TARGETS if not target.startswith("https://")] == []


@pytest.mark.parametrize("target", [target for target in TARGETS if target.startswith((SITE, *FILES))])
def test_each_link_leads_to_a_page_or_a_file_of_this_repository(target):
    if target.startswith(FILES):
        path = ROOT / target.split("/main/", 1)[1]
    else:
        page, _, anchor = target[len(SITE) :].partition("#")
        path = ROOT / "docs" / re.sub(r"(^|/)$", r"\1index.html", page).replace(".html", ".rst")
        headings = re.findall(r"^(.+)\n[=~-]{3,}$", path.read_text(), re.MULTILINE) if path.exists() else []
        assert not anchor or anchor in [re.sub(r"\W+", "-", heading.lower()).strip("-") for heading in headings]
    assert path.exists()


@pytest.mark.timeout(240)  # processes with Django
def test_its_consumer_runs_and_its_sends_arrive(redis_server, tmp_path):
    send, project, _ = SNIPPETS
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").touch()
    for name, code in re.findall(r"^# mysite/(\w+)\.py\n(.*?)(?=^# mysite|\Z)", project, re.MULTILINE | re.DOTALL):
        text = code.replace("redis://localhost:6379/0", redis_server.url).replace("..., ", "")
        (tmp_path / "mysite" / f"{name}.py").write_text(text + ('SECRET_KEY = "x"\n' if name == "settings" else ""))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
    }

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], env=environment, cwd=tmp_path, check=True, timeout=100)

    with RedisChannelLayer(hosts=[redis_server.url]) as layer:
        layer.group_add("editors", "editor")
        run("-c", send)
        assert layer.receive(["thumbnails"]) == ("thumbnails", {"type": "thumbnails.make", "id": 42})
        assert layer.receive(["editor"]) == ("editor", {"type": "chat.message", "text": "hello"})
        layer.group_add("visitors", "socket!2")
        layer.send("websocket.connect", {"reply_channel": "socket!1", "path": "/"})
        layer.send("websocket.receive", {"reply_channel": "socket!2", "path": "/", "text": "hello"})
        run("-m", "django", "runworker", "--burst")
        received = layer.receive_batch(["socket!"], 10)
        assert ("socket!1", {"accept": True}) in received
        assert ("socket!2", {"text": "hello"}) in received
        assert sorted(layer.group_channels("visitors")) == ["socket!1", "socket!2"]


def test_its_settings_for_channels_4_make_a_layer():
    import_string = pytest.importorskip("django.utils.module_loading").import_string
    settings: dict[str, dict[str, dict[str, Any]]] = {}
    exec(SNIPPETS[2], settings)
    default = settings["CHANNEL_LAYERS"]["default"]
    assert isinstance(import_string(default["BACKEND"])(**default["CONFIG"]), aio.RedisChannelLayer)
