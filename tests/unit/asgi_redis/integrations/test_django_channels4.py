"""``get_channel_layer`` in projects of Channels 4: which synchronous layer stands for which back end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asgi_redis
from asgi_redis import IPCChannelLayer, RedisChannelLayer, get_channel_layer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import InvalidChannelLayerError

pytest.importorskip("django")
pytest.importorskip("channels")

from channels.layers import channel_layers
from django.conf import settings
from django.test import override_settings

from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.aio import RedisChannelLayer as AsyncRedisChannelLayer

HOSTS = {"hosts": ["redis://127.0.0.1:1"]}
CORE, PUBSUB = "channels_redis.core.RedisChannelLayer", "channels_redis.pubsub.RedisPubSubChannelLayer"
ROOT = Path(asgi_redis.__file__).parent.parent


class OfTheProject(AsyncRedisChannelLayer):
    """A back end that a project has made from one of ours."""


@pytest.fixture(autouse=True, scope="module")
def _django() -> None:
    if not settings.configured:
        settings.configure()


def layers(path: str, **config: Any) -> Any:
    return override_settings(CHANNEL_LAYERS={"default": {"BACKEND": path, "CONFIG": config}})


@pytest.mark.parametrize("path", ["asgi_redis.aio.RedisChannelLayer", f"{__name__}.OfTheProject"])
def test_an_asynchronous_layer_stands_for_the_synchronous_one_in_it(path: str) -> None:
    with layers(path, **HOSTS, prefix="p", symmetric_encryption_keys=["secret"], capacity=7, expiry=9):
        layer = get_channel_layer()
        assert get_channel_layer() is layer
    assert type(layer) is RedisChannelLayer
    assert (layer.prefix, layer.capacity, layer.expiry) == ("p", 7, 9)


def test_the_layer_within_an_asynchronous_one_is_used_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    ours = IPCChannelLayer(path=tmp_path)
    with layers("asgi_redis.aio.AsyncChannelLayer", layer=ours):
        assert get_channel_layer() is ours
    assert AsyncChannelLayer(ours).layer is ours


def test_it_is_the_synchronous_layer_in_that_of_channels() -> None:
    """So both have the same process-local channels, and the same connections."""
    with layers("asgi_redis.aio.RedisChannelLayer", **HOSTS):
        layer, of_channels = get_channel_layer(), channel_layers["default"]
        assert of_channels.layer is layer
        assert of_channels.client_prefix == layer.client_prefix
    with layers(f"{__name__}.OfTheProject", **HOSTS):
        of_channels = channel_layers["default"]
        assert get_channel_layer() is of_channels.layer


def test_what_synchronous_code_sends_in_memory_arrives_at_the_consumers() -> None:
    async def run() -> Any:
        layer = channel_layers["default"]
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        await asyncio.get_running_loop().run_in_executor(None, get_channel_layer().send_group, "chat", {"n": 1})
        message = await asyncio.wait_for(layer.receive(channel), 10)
        await layer.close()
        return message

    with layers("asgi_redis.aio.AsyncChannelLayer", layer={"BACKEND": "asgi_redis.InMemoryChannelLayer"}):
        assert asyncio.run(run()) == {"n": 1}


def test_without_channels_it_is_a_layer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "channels.layers", None)  # as if it were not installed
    with layers("asgi_redis.aio.RedisChannelLayer", **HOSTS, prefix="p"):
        assert get_channel_layer().prefix == "p"
        assert "default" not in channel_layers.backends


def test_with_a_routing_which_channels_4_refuses_it_is_a_layer_of_its_own() -> None:
    options = {"BACKEND": "asgi_redis.aio.RedisChannelLayer", "CONFIG": HOSTS, "ROUTING": "is.for.the.worker"}
    with override_settings(CHANNEL_LAYERS={"default": options}):
        assert type(get_channel_layer()) is RedisChannelLayer


@pytest.mark.parametrize("path", [PUBSUB, "asgi_redis.aio.RedisPubSubChannelLayer"])
def test_pubsub_has_its_synchronous_layer(path: str) -> None:
    with layers(path, **HOSTS, prefix="p", on_disconnect="gone"):
        layer = get_channel_layer()
    assert type(layer) is asgi_redis.RedisPubSubChannelLayer
    assert layer.prefix == "p"


def test_every_setting_of_channels_redis_is_taken() -> None:
    config = {
        **HOSTS,
        "prefix": "p",
        "expiry": 1,
        "group_expiry": 2,
        "capacity": 3,
        "channel_capacity": {"a*": 4},
        "symmetric_encryption_keys": ["k"],
        "random_prefix_length": 8,
        "serializer_format": "json",
    }
    with layers(CORE, **config):
        layer = get_channel_layer()
    assert (layer.get_capacity("ab"), layer.group_expiry) == (4, 2)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("channels.layers.InMemoryChannelLayer", "event loop that made it, out of reach.*asgi_redis.aio"),
        ("channels.layers.BaseChannelLayer", "is asynchronous.*channels_redis.core.RedisChannelLayer"),
    ],
)
def test_an_asynchronous_layer_without_a_synchronous_one_is_refused_with_the_reason(
    path: str, complaint: str
) -> None:
    with layers(path), pytest.raises(InvalidChannelLayerError, match=complaint):
        get_channel_layer()


def test_a_config_that_is_no_dict_is_refused() -> None:
    wrong = override_settings(CHANNEL_LAYERS={"default": {"BACKEND": CORE, "CONFIG": ["redis://"]}})
    with wrong, pytest.raises(InvalidChannelLayerError, match="must be a dict of settings"):
        get_channel_layer()


def test_a_forked_process_goes_on_with_the_same_layer_as_a_process_of_its_own() -> None:
    """Also where another thread was about to make a layer at that moment."""
    script = f"""
import os, threading
from channels.layers import channel_layers
from django.conf import settings
from asgi_redis import get_channel_layer

class Slow:
    making = threading.Event()

    def __init__(self):
        self.making.set()
        threading.Event().wait()

slow = {{"BACKEND": "__main__.Slow"}}
settings.configure(CHANNEL_LAYERS={{"default": {{"BACKEND": {CORE!r}, "CONFIG": {HOSTS!r}}}, "slow": slow}})
layer = get_channel_layer()
prefix = layer.client_prefix
threading.Thread(target=get_channel_layer, args=("slow",), daemon=True).start()
Slow.making.wait()
child = os.fork()
if not child:
    os._exit(0 if get_channel_layer() is layer and layer.client_prefix != prefix else 1)
assert os.waitpid(child, 0)[1] == 0
os._exit(0)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, check=False, timeout=20
    )
    assert ran.returncode == 0, ran.stderr


MANAGE_PY = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SAY_PY = """
from django.core.management.base import BaseCommand
from workers import Channel, Group

class Command(BaseCommand):
    def handle(self, **options):
        Group("chat").send({"type": "chat.message", "text": "hello"})
        Group("chat").add("backlog")
        Channel("backlog").send({"type": "backlog.add"})
        Group("chat").discard("backlog")
"""


@pytest.fixture
def project(redis_server: RedisServer, prefix: str, tmp_path: Path) -> Iterator[Path]:
    commands = tmp_path / "chat" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (tmp_path / "chat", commands.parent, commands):
        (folder / "__init__.py").touch()
    (tmp_path / "manage.py").write_text(MANAGE_PY)
    (commands / "say.py").write_text(SAY_PY)
    config = {"hosts": [redis_server.url], "prefix": prefix}
    (tmp_path / "chat" / "settings.py").write_text(
        f"INSTALLED_APPS = ['channels', 'chat']\n"
        f"CHANNEL_LAYERS = {{'default': {{'BACKEND': {CORE!r}, 'CONFIG': {config}}}}}\n"
    )
    return tmp_path


def test_a_command_of_a_channels_4_project_sends_to_a_group_and_its_consumers_get_it(
    project: Path, redis_server: RedisServer, prefix: str
) -> None:
    """The consumer is one of Channels, on channels_redis."""
    pytest.importorskip("channels_redis")
    script = f"""
import asyncio, os, sys
sys.path[:0] = {[str(project), str(ROOT)]!r}
os.environ["DJANGO_SETTINGS_MODULE"] = "chat.settings"
import django
django.setup()
from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import WebsocketConsumer
from channels.layers import get_channel_layer

class Chat(WebsocketConsumer):
    groups = ["chat"]

    def chat_message(self, event):
        self.send(text_data=event["text"])

async def main():
    communicator = ApplicationCommunicator(Chat.as_asgi(), {{"type": "websocket"}})
    await communicator.send_input({{"type": "websocket.connect"}})
    assert (await communicator.receive_output(10))["type"] == "websocket.accept"
    command = await asyncio.create_subprocess_exec(sys.executable, "manage.py", "say", cwd={str(project)!r})
    assert await command.wait() == 0
    assert (await communicator.receive_output(10))["text"] == "hello"
    assert await get_channel_layer().receive("backlog") == {{"type": "backlog.add"}}
    await communicator.send_input({{"type": "websocket.disconnect", "code": 1000}})
    await communicator.wait()
    await get_channel_layer().close_pools()

asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "chat.settings"}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=40
    )
    assert ran.returncode == 0, ran.stderr
