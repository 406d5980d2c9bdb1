"""What code that was written for asgi_redis 1.4.3 finds: modules, attributes, and methods to override."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asgi_redis
from asgi_redis import InMemoryChannelLayer, RedisChannelLayer, RedisLocalChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import RemovedName

NOWHERE = {"hosts": ["redis://user:secret@localhost:1/0"]}


def test_the_modules_have_their_names() -> None:
    from asgi_redis import core, sentinel
    from asgi_redis.layers import local

    assert core.RedisChannelLayer is RedisChannelLayer
    assert issubclass(core.RedisChannelLayer, core.BaseRedisChannelLayer)
    assert issubclass(core.UnsupportedRedis, Exception)
    assert local.RedisLocalChannelLayer is RedisLocalChannelLayer
    assert sentinel.RedisSentinelChannelLayer is asgi_redis.RedisSentinelChannelLayer


def test_twisted_utils_has_defer() -> None:
    pytest.importorskip("twisted")
    from asgi_redis.twisted_utils import defer

    assert callable(defer.inlineCallbacks)


def test_the_attributes_that_still_mean_something_are_there() -> None:
    layer = RedisChannelLayer(**NOWHERE)
    assert layer.hosts == ["redis://localhost:1/0"]
    assert (layer.ring_size, layer.consistent_hash("chat")) == (1, 0)
    assert (layer.STAT_MESSAGES_COUNT, layer.STAT_CHANNEL_FULL) == ("messages_count", "channel_full_count")
    assert (layer.STAT_MESSAGES_PENDING, layer.STAT_MESSAGES_MAX_AGE) == ("messages_pending", "messages_max_age")
    assert (layer.channel_statistics_expiry, layer.global_statistics_expiry) == (3600, 86400)
    assert layer.crypter is None


def test_crypter_decrypts_what_the_layer_encrypts() -> None:
    pytest.importorskip("cryptography")
    layer = RedisChannelLayer(**NOWHERE, symmetric_encryption_keys=["key"])
    assert layer.crypter.decrypt(layer.serialize({"a": 1})[12:])


def test_blpop_timeout_is_block_timeout() -> None:
    class Patient(RedisChannelLayer):
        blpop_timeout = 7

    layer = Patient(**NOWHERE)
    assert layer.block_timeout == layer.blpop_timeout == 7
    layer.blpop_timeout = 2
    assert layer.block_timeout == 2
    assert RedisChannelLayer(**NOWHERE).block_timeout == 5


@pytest.mark.parametrize("name", ["connection", "random_index", "make_fernet", "lua_chansend", "_setup_hosts"])
def test_what_has_gone_says_what_to_use(name: str) -> None:
    layer: Any = RedisChannelLayer(**NOWHERE)
    with pytest.raises(RemovedName, match=f"RedisChannelLayer has no {name} any more: "):
        getattr(layer, name)
    assert not hasattr(layer, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        layer.nothing  # noqa: B018


@pytest.mark.parametrize("base", [RedisChannelLayer, RedisLocalChannelLayer, InMemoryChannelLayer])
@pytest.mark.parametrize("name", ["serialize", "deserialize", "consistent_hash", "_group_key", "make_fernet"])
def test_an_override_that_would_not_be_called_is_refused(base: Any, name: str) -> None:
    """An encryption of somebody's own would be switched off, and nothing would show it."""
    with pytest.raises(TypeError, match=f"Own overrides {name}, which is never called: "):
        type("Own", (base,), {name: lambda self, *arguments: None, "__qualname__": "Own"})


class Tracing(RedisChannelLayer):
    """Sees what is sent to each channel."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.sent: list[str] = []

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self.sent.append(channel)
        super().send(channel, message)


class OfThisTenant(RedisChannelLayer):
    """Sends to some members of a group only."""

    def group_channels(self, group: str) -> list[str]:
        return [name for name in super().group_channels(group) if name.startswith("mine")]


def test_an_override_of_send_is_called_for_each_member_of_a_group(redis_server: RedisServer, prefix: str) -> None:
    layer = Tracing(hosts=[redis_server.url], prefix=prefix, capacity=1)
    for channel in ("a", "b", "full"):
        layer.group_add("chat", channel)
    layer.send("full", {"n": 0})
    layer.sent.clear()
    assert layer.send_group("chat", {"n": 1}) == 1
    assert sorted(layer.sent) == ["a", "b", "full"]
    assert layer.receive(["a"]) == ("a", {"n": 1})
    assert layer.group_send("chat", {"n": 2}) == 2


def test_an_override_of_group_channels_decides_who_is_sent_to(redis_server: RedisServer, prefix: str) -> None:
    layer = OfThisTenant(hosts=[redis_server.url], prefix=prefix)
    for channel in ("mine.a", "theirs.b"):
        layer.group_add("chat", channel)
    assert layer.send_group("chat", {"n": 1}) == 0
    assert layer.receive(["mine.a"]) == ("mine.a", {"n": 1})
    assert layer.receive(["theirs.b"]) == (None, None)
    with pytest.raises(TypeError):
        layer.send_group("chat", "no dict")


def test_an_override_of_get_capacity_is_asked_each_time(redis_server: RedisServer, prefix: str) -> None:
    class Elastic(RedisChannelLayer):
        room = 1

        def get_capacity(self, channel: str) -> int:
            return self.room

    layer = Elastic(hosts=[redis_server.url], prefix=prefix)
    layer.send("a", {"n": 1})
    with pytest.raises(layer.ChannelFull):
        layer.send("a", {"n": 2})
    layer.room = 2
    layer.send("a", {"n": 3})
    layer.group_add("chat", "a")
    assert layer.send_group("chat", {"n": 4}) == 1
    layer.room = 3
    assert layer.send_group("chat", {"n": 5}) == 0


def test_it_is_a_layer_of_asgiref_1_where_that_is_installed(tmp_path: Path) -> None:
    (tmp_path / "asgiref").mkdir()
    (tmp_path / "asgiref" / "__init__.py").write_text("__version__ = '1.1.2'\n")
    (tmp_path / "asgiref" / "base_layer.py").write_text("class BaseChannelLayer(object):\n    pass\n")
    program = (
        "import asgi_redis, asgiref.base_layer as b\n"
        "assert issubclass(asgi_redis.RedisChannelLayer, b.BaseChannelLayer)\n"
        "assert isinstance(asgi_redis.InMemoryChannelLayer(), b.BaseChannelLayer)\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(asgi_redis.__file__).parent.parent)])
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": paths}, timeout=30)


@pytest.mark.parametrize("attributes", [{"version": (0, 5, 6)}, {}], ids=["0.5.6", "left over"])
def test_the_files_of_msgpack_python_are_an_error_with_the_cure(attributes: dict[str, Any]) -> None:
    program = (
        "import sys, types; found = sys.modules['msgpack'] = types.ModuleType('msgpack')\n"
        f"found.packb = found.unpackb = id; vars(found).update({attributes!r})\nimport asgi_redis.layers.redis"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert "ImportError: the module msgpack is that of msgpack-python" in ran.stderr
    assert "pip uninstall -y msgpack-python; pip install --force-reinstall msgpack" in ran.stderr
