"""A group's message: each coroutine may do with it what it likes, and it costs no more than if they shared it."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import tracemalloc

import msgpack
import pytest

from asgi_redis.aio.group_message import GroupMessage, MessageCopier
from asgi_redis.engine.fanout import SharedMessage

CONTENT = {"type": "x.y", "rows": [[1, 2], {"a": [3]}], "options": {"deep": {"list": []}}, "text": "t", "none": None}


def shared_of(content, decode=json.loads):
    return SharedMessage("q!", ["q!x"], json.dumps(content).encode(), decode, 0.0)


@pytest.fixture
def copies():
    return MessageCopier()


@pytest.fixture
def two(copies):
    shared = shared_of(CONTENT)
    return copies.copy(shared), copies.copy(shared)


WAYS = {
    "item": lambda message: message["rows"],
    "get": lambda message: message.get("rows"),
    "setdefault": lambda message: message.setdefault("rows", 7),
    "pop": lambda message: message.pop("rows"),
    "values": lambda message: list(message.values())[1],
    "items": lambda message: dict(message.items())["rows"],
    "dict": lambda message: dict(message)["rows"],
    "stars": lambda message: {**message}["rows"],
    "arguments": lambda message: (lambda **given: given)(**message)["rows"],
    "copy": lambda message: message.copy()["rows"],
    "copy.copy": lambda message: copy.copy(message)["rows"],
    "copy.deepcopy": lambda message: copy.deepcopy(message)["rows"],
    "pickle": lambda message: pickle.loads(pickle.dumps(message))["rows"],
    "or": lambda message: (dict(message) | {})["rows"],
    "own or": lambda message: (message | {})["rows"],
    "or own": lambda message: ({} | message)["rows"],
    "update": lambda message: message.update({"more": 1}) or message["rows"],
    "into another": lambda message: (lambda other: other.update(message) or other)({})["rows"],
    "popitem": lambda message: [message.popitem() for _ in range(4)][-1][1],
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_one_does_with_a_list_the_others_do_not_see(copies, two, way):
    one, other = two
    rows = WAYS[way](one)
    assert rows == CONTENT["rows"]
    rows[0].append("changed")
    rows[1]["a"].append("changed")
    assert other == CONTENT
    assert other["rows"] == CONTENT["rows"]
    assert copies.copy(shared_of(CONTENT)) == CONTENT


def test_what_is_got_twice_is_the_same(two):
    one, _ = two
    assert one["rows"] is one["rows"]
    one["rows"].append(1)
    assert one["rows"][-1] == 1
    own = one["rows"] = [7]
    assert one["rows"] is own
    assert one.get("rows") is own
    del one["rows"]
    assert "rows" not in one
    own = one["rows"] = [8]
    assert one["rows"] is own
    one |= {"options": own}
    assert one["options"] is own


def test_it_reads_as_a_dict(two):
    one, other = two
    assert isinstance(one, GroupMessage)
    assert one == other == CONTENT
    assert one == CONTENT
    assert list(one) == list(CONTENT)
    assert len(one) == len(CONTENT)
    assert repr(one) == repr(CONTENT)
    assert json.loads(json.dumps(one)) == CONTENT
    assert msgpack.unpackb(msgpack.packb(other)) == CONTENT
    assert type(copy.deepcopy(one)) is dict
    assert one.get("no", 5) == 5
    with pytest.raises(KeyError):
        one["no"]


def test_where_nothing_can_be_changed_it_is_a_dict(copies):
    shared = shared_of({"type": "x", "text": "t"})
    one, other = copies.copy(shared), copies.copy(shared)
    assert type(one) is dict
    one["text"] = "changed"
    assert other == {"type": "x", "text": "t"}


def test_of_what_it_does_not_know_each_gets_one_that_was_decoded_for_it(copies):
    shared = shared_of({}, lambda data: {"set": {1}})
    one, other = copies.copy(shared), copies.copy(shared)
    one["set"].add(2)
    assert type(one) is dict
    assert other == {"set": {1}}


def test_there_is_none_of_a_message_that_cannot_be_decoded(copies):
    assert copies.copy(SharedMessage("q!", ["q!x"], b"{", json.loads, 0.0)) is None


def test_five_hundred_coroutines_get_it_for_little_more_than_one(aio_for, redis_server):
    async def main():
        layer = aio_for(redis_server)
        names = [await layer.new_channel() for _ in range(500)]
        await asyncio.gather(*[layer.group_add("group", name) for name in names])
        tasks = [asyncio.create_task(layer.receive(name)) for name in names]
        await asyncio.sleep(0)
        rows = [[number, number] for number in range(2000)]
        tracemalloc.start()
        try:
            await layer.group_send("group", {"type": "x", "rows": rows})
            received = await asyncio.wait_for(asyncio.gather(*tasks), 30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 10_000_000, "a copy for each takes 130 MB"
        received[0]["rows"][0].append("changed")
        assert all(message["rows"] == rows for message in received[1:20])

    asyncio.run(main())
