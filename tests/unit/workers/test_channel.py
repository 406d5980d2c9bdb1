from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from asgi_redis import InMemoryChannelLayer
from tests.support.workers.fakes import FakeLayer, Full
from workers import Channel, Group
from workers.channel import pending_message_store


@pytest.fixture
def layer() -> FakeLayer:
    return FakeLayer()


@pytest.fixture
def _inside_a_consumer() -> Iterator[None]:
    pending_message_store.prepare()
    yield
    pending_message_store.flush()


def test_outside_a_consumer_sends_go_out_at_once(layer: FakeLayer) -> None:
    Channel("c", channel_layer=layer).send({"n": 1})
    Group("g", channel_layer=layer).send({"n": 2})
    assert layer.sent == [("c", {"n": 1}), ("group g", {"n": 2})]


def test_outside_a_consumer_a_full_channel_raises(layer: FakeLayer) -> None:
    layer.full.add("c")
    with pytest.raises(Full):
        Channel("c", channel_layer=layer).send({})


@pytest.mark.usefixtures("_inside_a_consumer")
def test_inside_a_consumer_only_immediate_sends_go_out_at_once(layer: FakeLayer) -> None:
    Channel("c", channel_layer=layer).send({"n": 1})
    Group("g", channel_layer=layer).send({"n": 2})
    Channel("c", channel_layer=layer).send({"n": 3}, immediately=True)
    Group("g", channel_layer=layer).send({"n": 4}, immediately=True)
    assert layer.sent == [("c", {"n": 3}), ("group g", {"n": 4})]
    pending_message_store.flush()
    assert layer.sent[2:] == [("c", {"n": 1}), ("group g", {"n": 2})]


def test_a_message_has_to_be_a_dict(layer: FakeLayer) -> None:
    with pytest.raises(TypeError, match="list"):
        Channel("c", channel_layer=layer).send([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="list"):
        Group("g", channel_layer=layer).send([])  # type: ignore[arg-type]


def test_groups_take_channels_and_names(layer: FakeLayer) -> None:
    group = Group("g", channel_layer=layer)
    group.add(Channel("a", channel_layer=layer))
    group.add("b")
    assert layer.members == {"g": {"a", "b"}}
    group.discard("a")
    group.discard(Channel("b", channel_layer=layer))
    assert layer.members == {"g": set()}


@pytest.mark.usefixtures("_inside_a_consumer")
def test_a_group_leaves_out_channels_and_names(layer: FakeLayer) -> None:
    group = Group("g", channel_layer=layer)
    group.send({"n": 1}, exclude=[Channel("a", channel_layer=layer), "b"])
    group.send({"n": 2}, immediately=True, exclude=["a"])
    group.send({"n": 3})
    assert layer.sent == [("group g without a", {"n": 2})]
    pending_message_store.flush()
    assert layer.sent[1:] == [("group g without a without b", {"n": 1}), ("group g", {"n": 3})]


@pytest.mark.usefixtures("_inside_a_consumer")
@pytest.mark.parametrize(
    ("wrong", "shown"), [("a", "exclude=['a']"), (Channel("a", channel_layer=FakeLayer()), "'a'"), (["a b"], "'a b'")]
)
def test_a_wrong_exclude_is_told_to_the_consumer(wrong: object, shown: str) -> None:
    layer = InMemoryChannelLayer()
    layer.group_add("g", "a")
    with pytest.raises(TypeError, match=re.escape(shown)):
        Group("g", channel_layer=layer).send({}, exclude=wrong)  # type: ignore[arg-type]
    pending_message_store.flush()
    assert layer.receive(["a"]) == (None, None)


def test_names_may_be_bytes(layer: FakeLayer) -> None:
    assert str(Channel(b"c", channel_layer=layer)) == "c"
    assert str(Group(b"g", channel_layer=layer)) == "g"
