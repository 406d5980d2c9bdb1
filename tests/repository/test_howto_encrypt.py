"""The guide to encryption: its settings and steps, on a real Redis, with channels_redis beside."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import ConfigurationError
from tests.support.guides import REDIS, Guide, Project

pytest.importorskip("cryptography")
pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]
PAGE = Guide("encrypt.rst")


@pytest.fixture
def keyed(layer_for: Callable[..., RedisChannelLayer], redis_server: RedisServer) -> Callable[..., RedisChannelLayer]:
    return lambda *keys: layer_for(redis_server, symmetric_encryption_keys=keys or None)


def test_the_settings_and_the_commands_that_show_it(tmp_path: Path, fresh_redis_server: RedisServer) -> None:
    make_key, _, _, send, _, peek = map(shlex.split, Guide("encrypt.rst", "Turn it on").commands()[1:])
    project = Project(tmp_path, fresh_redis_server.url).add(Guide("encrypt.rst", "Turn it on"))
    key = project.run(*make_key).strip()
    assert len(key) > 40
    assert project.run(*send, CHANNEL_KEYS=key) == "sent to probe\n"
    with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
        (entry,) = client.zrange("asgiprobe", 0, -1)
    assert b"gAAAAA" in entry
    assert b"tea" not in entry
    assert '{"secret": "tea"}' in project.run(*peek, CHANNEL_KEYS=key)
    tool = Guide("encrypt.rst", "Use the tools").commands()[1].replace(REDIS, fresh_redis_server.url)
    assert '{"secret": "tea"}' in project.run(*shlex.split(tool), ASGI_REDIS_KEYS=f"other {key}")


def test_a_worker_without_django(tmp_path: Path, fresh_redis_server: RedisServer) -> None:
    section = Guide("encrypt.rst", "Use the tools")
    project = Project(tmp_path, fresh_redis_server.url).add(section)
    routing = "from workers import route\n\nchannel_routing = [route('jobs', lambda message: print(message['n']))]\n"
    project.write("routing.py", routing)
    with RedisChannelLayer(hosts=[fresh_redis_server.url], symmetric_encryption_keys=["k"]) as layer:
        layer.send("jobs", {"n": "deciphered"})
    command = shlex.split(section.commands()[-1])
    assert "deciphered" in project.run(*command, "--burst", CHANNEL_KEYS="k")


def test_no_step_of_a_rotation_loses_a_message(keyed: Callable[..., RedisChannelLayer]) -> None:
    steps = [line.split('"')[1] for line in Guide("encrypt.rst", "Rotate a key").commands()]
    layers = [keyed("old-key"), *(keyed(*step.split()) for step in steps)]
    assert len(layers) == 4
    for before, after in zip(layers, layers[1:]):
        for sender, reader in [(before, after), (after, before), (after, after)]:
            sender.send("jobs", {"n": 1})
            assert reader.receive(["jobs"]) == ("jobs", {"n": 1})
    layers[0].send("jobs", {"n": 1})
    assert layers[3].receive(["jobs"]) == (None, None)


def test_channels_redis_reads_and_sends_with_the_same_keys(redis_server: RedisServer) -> None:
    stock = pytest.importorskip("channels_redis.core")
    names: dict[str, Any] = {}
    code = Guide("encrypt.rst", "Share Redis with channels_redis").code("channels_redis.core")
    exec(code.replace(REDIS, redis_server.url), names)
    settings = names["CHANNEL_LAYERS"]
    assert settings["default"]["BACKEND"] == "channels_redis.core.RedisChannelLayer"
    ours = RedisChannelLayer(**settings["classic"]["CONFIG"])

    async def talk() -> Any:
        theirs = stock.RedisChannelLayer(**settings["default"]["CONFIG"])
        try:
            await theirs.send("encrypted-to-ours", {"n": 1})
            ours.send("encrypted-to-theirs", {"n": 2})
            return await asyncio.wait_for(theirs.receive("encrypted-to-theirs"), 10)
        finally:
            await theirs.close_pools()

    assert asyncio.run(talk()) == {"n": 2}
    assert ours.receive(["encrypted-to-ours"]) == ("encrypted-to-ours", {"n": 1})
    ours.close()


def test_what_the_log_says_when_keys_differ(
    keyed: Callable[..., RedisChannelLayer], caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = (block.text.strip() for block in PAGE.blocks("text") if "Dropped" in block.text)
    reader = keyed("new-key")
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        keyed("other").send("thumbnails", {"n": 1})
        assert reader.receive(["thumbnails"]) == (None, None)
        keyed().send("mails", {"n": 1})
        assert keyed("new-key").receive(["mails"]) == (None, None)
    assert caplog.messages == [line, line.replace("thumbnails", "mails")]
    assert reader.channel_statistics("thumbnails")["messages_undecodable"] == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        keyed("new-key").send("thumbnails", {"n": 1})
        assert keyed().receive(["thumbnails"]) == (None, None)
    assert re.search("ExtraData|UnpackValueError", caplog.text)


def test_a_key_that_is_no_list(keyed: Callable[..., RedisChannelLayer]) -> None:
    (text,) = (block.text.strip() for block in PAGE.blocks("text") if "must be" in block.text)
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        RedisChannelLayer(symmetric_encryption_keys="a key")
