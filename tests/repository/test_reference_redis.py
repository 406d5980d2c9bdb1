"""The pages about settings, Redis and the wire format: what they say is so."""

from __future__ import annotations

import configparser
import contextlib
import re
from pathlib import Path

import msgpack
import pytest
import redis

from asgi_redis import ChannelFull, RedisChannelLayer
from asgi_redis.integrations.environment import KEYS_VARIABLE, PASSWORD_VARIABLE, URL_VARIABLE
from asgi_redis.wire.names import shard_of
from tests.support.documents.pages import Page

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PREFIX_BYTES = 12


def definitions(page: str, heading: str) -> dict[str, str]:
    """The definitions of a section, by their terms."""
    _, _, rest = text_of(page).partition(f"\n{heading}\n{'-' * len(heading)}\n")
    section = re.split(r"\n\S.*\n[-~]{4,}\n", rest)[0]
    found = re.findall(r"^(\S.*)\n((?:   .*\n|\n(?=   ))+)", section, re.MULTILINE)
    return {term: " ".join(text.split()) for term, text in found}


def text_of(page: str) -> str:
    return (REFERENCE / f"{page}.rst").read_text()


def literals(text: str) -> list[str]:
    return re.findall(r"``(.*?)``", text)


# Settings


def test_the_page_has_every_system_check():
    code = "\n".join(
        (ROOT / path).read_text() for path in ("asgi_redis/integrations/checks.py", "workers/compat/checks.py")
    )
    shown = [literals(term)[0] for term in definitions("settings", "System checks")]
    assert sorted(shown) == sorted(set(re.findall(r'id="([\w.]+)"', code)))


def test_the_page_has_every_variable_and_every_extra():
    variables = [name for term in definitions("settings", "Environment variables") for name in literals(term)]
    assert {URL_VARIABLE, KEYS_VARIABLE, PASSWORD_VARIABLE, "DJANGO_SETTINGS_MODULE"} <= set(variables)
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = [literals(term)[0] for term in definitions("settings", "Extras")]
    assert sorted(extras) == sorted(setup["options.extras_require"])


# The wire format


def example(caption: str) -> bytes:
    (block,) = (block for block in Page(REFERENCE / "wire_format.rst").blocks("text") if caption in block.caption)
    return bytes.fromhex("".join(line.partition("    ")[0] for line in block.text.split("\n")))


def entries(server, key):
    with redis.Redis.from_url(server.url, protocol=2) as client:
        return client.zrange(key, 0, -1)


@pytest.mark.parametrize(
    ("caption", "channel", "message"),
    [("asgithumbnails", "thumbnails", {"id": 42}), ("asgichat.1f2e!", "chat.1f2e!room", {"text": "hi"})],
)
def test_the_bytes_of_the_page_are_those_of_a_message(fresh_redis_server, caption, channel, message):
    shown = example(caption)
    layer = RedisChannelLayer(hosts=[fresh_redis_server.url])
    layer.send(channel, message)
    (entry,) = entries(fresh_redis_server, caption)
    assert entry[PREFIX_BYTES:] == shown[PREFIX_BYTES:]
    layer.flush()
    with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
        seconds, _ = client.time()
        client.zadd(caption, {shown: seconds})
        client.expire(caption, 60)
    name = channel.partition("!")[0] + "!" * ("!" in channel)
    assert layer.receive([name]) == (channel, message)
    layer.close()


def test_the_entries_of_a_group_have_a_list_of_names(fresh_redis_server):
    with RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer:
        for channel in ("chat.1f2e!a", "chat.1f2e!b", "normal"):
            layer.group_add("editors", channel)
        layer.send_group("editors", {"text": "hi"})
        (shared,) = entries(fresh_redis_server, "asgichat.1f2e!")
        (alone,) = entries(fresh_redis_server, "asginormal")
        assert sorted(msgpack.unpackb(shared[PREFIX_BYTES:])["__asgi_channel__"]) == ["chat.1f2e!a", "chat.1f2e!b"]
        assert msgpack.unpackb(alone[PREFIX_BYTES:]) == {"text": "hi", "__asgi_channel__": ["normal"]}
        layer.delayed.send("later", {"id": 1}, 60)
        (delayed,) = entries(fresh_redis_server, "asgi:delayed")
        assert msgpack.unpackb(delayed[PREFIX_BYTES:]) == {"channel": "later", "message": {"id": 1}}


def test_the_function_of_the_page_computes_the_shard_of_a_name():
    (block,) = Page(REFERENCE / "wire_format.rst").blocks("python")
    scope = {}
    exec(block.text, scope)
    names = [f"name{number}" for number in range(100)]
    for shards in (1, 2, 3, 7):
        assert [scope["shard_of"](name, shards) for name in names] == [
            shard_of(name.encode(), shards) for name in names
        ]


# Redis


def use_everything(layer: RedisChannelLayer) -> None:
    layer.block_timeout = 0.1
    layer.group_add("group", "channel")
    assert layer.send_group("group", {}) == 0
    assert layer.send_group("group", {}) == 1
    assert layer.receive(["channel", "other"], block=True) == ("channel", {})
    assert layer.receive(["channel", "other"], block=True) == (None, None)
    assert layer.group_channels("group") == ["channel"]
    assert layer.group_count("group") == 1
    layer.delayed.send("channel", {}, 0)
    layer.delayed.deliver()
    with pytest.raises(ChannelFull):
        layer.send("channel", {})
    assert layer.many_channel_statistics(["channel"])["channel"]["messages_pending"] == 1
    assert layer.global_statistics()["messages_count"] == 2
    layer.registry.report("one", {})
    assert layer.registry.ask("one", "quiet")
    assert [entry.process for entry in layer.registry.processes()] == ["one"]
    layer.registry.withdraw("one")
    assert layer.inspector.servers()[0].error == ""
    assert [found for found in layer.inspector.sweep() if found.groups]
    assert len(layer.inspector.peek("channel", 10)) == 1
    layer.inspector.purge("channel")


def keys_with_ttls(client) -> dict[str, str]:
    found = {}
    for key in client.scan_iter():
        assert client.pttl(key) > 0, f"{key} has no TTL"
        found[key.decode()] = client.type(key).decode()
    return found


def test_a_user_with_the_commands_of_the_page_may_do_everything(fresh_redis_server):
    listed = definitions("redis", "Commands")
    words = [
        f"+{name.lower().replace(' ', '|')}"
        for part, text in listed.items()
        if "Sentinel" not in part
        for name in literals(text)
        if name.isupper() and name != "NOSCRIPT"
    ]
    assert len(words) > 40
    with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as admin:
        admin.execute_command("ACL", "SETUSER", "mysite", "on", ">password", "~*", "&*", "-@all")
        for word in words:
            with contextlib.suppress(redis.ResponseError):  # a command of a newer Redis
                admin.execute_command("ACL", "SETUSER", "mysite", word)
        user = {"username": "mysite", "password": "password"}
        with RedisChannelLayer(hosts=[fresh_redis_server.url], capacity=1, connection_kwargs=user) as layer:
            use_everything(layer)
            layer.flush()
        assert admin.acl_log() == []


def test_the_keys_are_those_of_the_page(fresh_redis_server):
    shown = {
        literals(term)[0].replace("{stats_prefix}", "asgi-meta:").replace("{prefix}", "asgi"): text
        for term, text in definitions("redis", "Keys").items()
    }
    patterns = {re.compile(re.sub(r"\\\{\w+\\\}", "[a-z]+", re.escape(key))): text for key, text in shown.items()}
    client = redis.Redis.from_url(fresh_redis_server.url, protocol=2)
    with client, RedisChannelLayer(hosts=[fresh_redis_server.url], capacity=1) as layer:
        layer.send("channel", {})
        layer.group_add("group", "channel")
        layer.delayed.send("channel", {}, 0)
        layer.delayed.send("channel", {}, 60)
        layer.delayed.deliver()
        layer.registry.report("process", {})
        layer.registry.ask("process", "quiet")
        found = keys_with_ttls(client)
    assert len(found) == 10
    kinds = {"zset": "Sorted set", "string": "String", "hash": "Hash"}
    for key, kind in found.items():
        texts = [text for pattern, text in patterns.items() if pattern.fullmatch(key)]
        assert texts, f"{key} is not on the page"
        assert any(text.startswith(kinds[kind]) for text in texts), key
