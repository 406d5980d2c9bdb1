"""The guides to moving from older layers: their settings, commands and promises hold."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
import redis
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer as StockLayer
from django.test import override_settings

from asgi_redis import RedisChannelLayer
from asgi_redis.aio import RedisChannelLayer as AsyncLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.integrations.checks import check_channel_layers
from asgi_redis.integrations.django import make_channel_layer
from tests.support.guides import REDIS, Guide, Project
from tests.support.interface.serving import free_port
from tests.support.interface.websockets import WebSocket
from tests.support.waiting import eventually
from tests.support.workers import project as project_of_the_tests

assert project_of_the_tests  # it sets up Django

pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(90)]

CHECKED = "System check identified no issues (0 silenced).\n"
PAGES = ["move_from_1_4_3.rst", "move_from_channels1.rst", "move_from_channels_redis.rst", "channels4.rst"]
QUEUES = "Replace the back end with queues"
PUBSUB = "Replace the back end over pub/sub"
BACK_ENDS = {
    QUEUES: ["channels_redis.core.RedisChannelLayer", "asgi_redis.aio.RedisChannelLayer"],
    PUBSUB: ["channels_redis.pubsub.RedisPubSubChannelLayer", "asgi_redis.aio.RedisPubSubChannelLayer"],
}
SETTINGS = [
    (page, block.text)
    for page in PAGES
    for block in Guide(page).blocks("python")
    if "CHANNEL_LAYERS = {" in block.text
]


@pytest.mark.parametrize(("page", "code"), SETTINGS, ids=[f"{page}-{n}" for n, (page, _) in enumerate(SETTINGS)])
def test_the_settings_of_the_pages_make_layers(page: str, code: str) -> None:
    names: dict[str, Any] = {"INSTALLED_APPS": []}
    exec(code, names)
    make_channel_layer("default", names["CHANNEL_LAYERS"]).close()


@pytest.mark.parametrize("chosen", [0, 1], ids=["before", "after"])
@pytest.mark.parametrize("section", BACK_ENDS)
def test_the_environment_chooses_the_back_end_and_the_check_passes(section, chosen, monkeypatch) -> None:
    guide = Guide("move_from_channels_redis.rst", section)
    before, after = BACK_ENDS[section]
    assert f"CHANNEL_BACKEND={after} python manage.py check\n" in guide.code("manage.py check")
    if chosen:
        monkeypatch.setenv("CHANNEL_BACKEND", after)
    names: dict[str, Any] = {"INSTALLED_APPS": []}
    exec(guide.code("CHANNEL_LAYERS"), names)
    with override_settings(CHANNEL_LAYERS=names["CHANNEL_LAYERS"]):
        assert check_channel_layers() == []
        layer = type(channel_layers["default"])
    assert f"{layer.__module__}.{layer.__name__}".startswith((after if chosen else before).rpartition(".")[0])


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


class Site:
    """One process of a site: its layer is stock channels_redis, or that of this package."""

    def __init__(self, layer_class: type, url: str, prefix: str) -> None:
        self.layer = layer_class(hosts=[url], prefix=prefix)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: object) -> None:
        run(self.layer.close_pools())

    def __call__(self, call: str, *arguments: object) -> Any:
        async def work() -> Any:
            try:
                return await getattr(self.layer, call)(*arguments)
            finally:
                await self.layer.close_pools()

        return run(work())


@pytest.mark.parametrize(
    ("before", "after"), [(StockLayer, AsyncLayer), (AsyncLayer, StockLayer)], ids=["move", "go back"]
)
def test_what_was_sent_and_joined_before_counts_after(before, after, redis_server, prefix) -> None:
    with Site(before, redis_server.url, prefix) as old, Site(after, redis_server.url, prefix) as new:
        old("send", "work", {"number": 1})
        own = old("new_channel")
        old("group_add", "chat", own)
        old("group_add", "chat", "desk")
        assert new("receive", "work") == {"number": 1}
        new("group_send", "chat", {"text": "hello"})
        assert new("receive", "desk") == {"text": "hello"}
        assert old("receive", own) == {"text": "hello"}


def leave_a_copy(url: str, prefix: str) -> None:
    """Receive as a process of channels_redis that is killed before it deletes its copy."""

    class Killed(StockLayer):
        async def _clean_receive_backup(self, index: int, channel: str) -> None:
            return

    with Site(Killed, url, prefix) as site:
        site("send", "work", {"number": "in hand"})
        assert site("receive", "work") == {"number": "in hand"}


@pytest.mark.parametrize("cleaned", [False, True])
def test_the_copies_of_channels_redis_come_back_unless_they_are_deleted(cleaned, fresh_redis_server) -> None:
    server = fresh_redis_server
    with RedisChannelLayer(hosts=[server.url]) as layer:
        leave_a_copy(server.url, "asgi")
        assert layer.receive(["work"]) == (None, None)  # this package does not deliver it
        if cleaned:
            clean(server)
        with Site(StockLayer, server.url, "asgi") as site:
            site("send", "work", {"number": "next"})
            first = site("receive", "work")
    assert first == {"number": "next" if cleaned else "in hand"}


def clean(server: RedisServer) -> None:
    """Run the command of the page; it must be the same before the roll-back."""
    if shutil.which("redis-cli") is None:
        pytest.skip("there is no redis-cli")
    guide = Guide("move_from_channels_redis.rst", QUEUES)
    after, before_going_back = [line for line in guide.commands() if "UNLINK" in line]
    assert after == before_going_back
    command = after.replace("redis-cli", f"redis-cli -p {server.port}")
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize("words", ["async_to_sync(get", "from asgi_redis import"], ids=["before", "after"])
def test_a_synchronous_call_takes_the_place_of_async_to_sync(words, redis_server, prefix) -> None:
    code = Guide("move_from_channels_redis.rst", "Replace async_to_sync").code("group_send", words)
    config = {"hosts": [redis_server.url], "prefix": prefix}
    layers = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}}
    with Site(StockLayer, redis_server.url, prefix) as site, override_settings(CHANNEL_LAYERS=layers):
        site("group_add", "chat", "desk")
        exec(code, {})
        assert site("receive", "desk") == {"type": "chat.message", "text": "hello"}


def test_an_answer_comes_to_the_channel_of_the_page(redis_server, prefix, monkeypatch) -> None:
    code = Guide("move_from_channels_redis.rst", "Replace async_to_sync").code("reply_to")
    names: dict[str, Any] = {}
    with (
        RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer,
        Site(StockLayer, redis_server.url, prefix) as site,
    ):
        monkeypatch.setattr("asgi_redis.get_channel_layer", lambda: layer)
        asking = threading.Thread(target=exec, args=(code, names))
        asking.start()
        site("send", site("receive", "questions")["reply_to"], {"text": "42"})
        asking.join()
    assert names["answer"] == {"text": "42"}
    assert names["channel"].startswith("answers.")


def test_the_keys_of_version_2_are_those_of_the_table(fresh_redis_server) -> None:
    rows = Guide("move_from_1_4_3.rst", "What changes in Redis").prose
    with (
        RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer,
        redis.Redis.from_url(fresh_redis_server.url) as client,
    ):
        layer.send("chat", {})
        layer.group_add("chat", "desk")
        layer.flush_counts()
        keys = {key.decode() for key in client.scan_iter("*")} - {"asgi-meta:#global#"}
    assert keys == {"asgichat", "asgi:group:chat", "asgi-meta:chat"}
    assert all(f"- ``{key}``" in rows for key in keys)


def test_a_search_and_replace_moves_a_project_of_channels_1(tmp_path) -> None:
    project = tmp_path / "mysite"
    project.mkdir()
    (project / "code.py").write_text(
        "from channels import Group\nfrom channels.sessions import channel_session\nimport channels\n"
        "INSTALLED_APPS = ['channels', \"mysite\"]\npath = 'channels.sessions.x'\nchannels.Group('channels2')\n"
    )
    (command,) = [line for line in Guide("move_from_channels1.rst").commands() if "sed -Ei" in line]
    command = command.replace("> ", "").replace("git ls-files '*.py'", "find . -name '*.py'")
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert (project / "code.py").read_text() == (
        "from workers import Group\nfrom workers.sessions import channel_session\nimport workers\n"
        "INSTALLED_APPS = ['workers', \"mysite\"]\npath = 'workers.sessions.x'\nchannels.Group('channels2')\n"
    )


def test_the_ported_project_has_an_application_and_passes_the_check(tmp_path, redis_server) -> None:
    guide = Guide("move_from_channels1.rst", "Port the code")
    assert f"$ python manage.py check\n{CHECKED}" in guide.code("manage.py check")
    project = Project(tmp_path, redis_server.url).add(guide)
    settings = (tmp_path / "mysite" / "settings.py").read_text()
    project.write("mysite/settings.py", f'{settings}INSTALLED_APPS.append("django.contrib.sessions")\n')
    project.write("mysite/routing.py", "channel_routing = []\n")
    project.write("look.py", PORTED)
    assert project.run("python", "look.py", timeout=80) == f"asgi_redis.interface.application\n{CHECKED}"


PORTED = """
import django
from django.core.management import call_command
from mysite.asgi import application

django.setup()
print(type(application).__module__)
call_command("check")
"""


def test_the_worker_runs_the_consumers_of_the_page_of_channels_4(tmp_path, fresh_redis_server) -> None:
    guide = Guide("channels4.rst", "Run channel consumers with this worker")
    back_end = Guide("channels4.rst", "Choose the back end")
    project = Project(tmp_path, fresh_redis_server.url).add(back_end).add(guide)
    names: dict[str, Any] = {"INSTALLED_APPS": []}
    exec(back_end.code("INSTALLED_APPS").replace(REDIS, fresh_redis_server.url), names)
    (command,) = guide.commands()
    with project.running(*command.split()) as worker, override_settings(CHANNEL_LAYERS=names["CHANNEL_LAYERS"]):
        exec(guide.code("get_channel_layer().send"), {})
        eventually(lambda: "thumbnail of 42" in worker.log or not worker.running, timeout=80)
        assert "thumbnail of 42" in worker.log


def test_the_consumer_of_the_page_of_channels_4_is_told_of_an_outage(tmp_path, fresh_redis_server) -> None:
    pytest.importorskip("uvicorn")
    guide = Guide("channels4.rst", "Tell consumers of an outage")
    project = Project(tmp_path, fresh_redis_server.url).add(Guide("channels4.rst", "Choose the back end")).add(guide)
    port, keeper = free_port()
    assert "``ws://127.0.0.1:8000/ws/``" in guide.prose
    (command,) = guide.commands()
    with keeper, project.running(*command.split(), "--port", str(port)) as server:
        eventually(lambda: "Uvicorn running" in server.log or not server.running, timeout=60)
        with WebSocket(port, "/ws/") as socket:
            socket.opened()
            fresh_redis_server.stop()
            assert json.loads(socket.receive()) == {"problem": "Redis cannot be reached."}
            fresh_redis_server.start()
            assert json.loads(socket.receive()) == {"problem": ""}
        server.signal(signal.SIGTERM)
        server.wait()
