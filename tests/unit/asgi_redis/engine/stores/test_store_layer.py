"""The calls of a layer over a store: its errors, and steps for groups."""

from __future__ import annotations

import pytest

from asgi_redis import ChannelFull, InMemoryChannelLayer, MessageTooLarge
from asgi_redis.exceptions import InvalidName


@pytest.fixture
def layer():
    return InMemoryChannelLayer(capacity=1)


def test_a_full_channel_is_told_from_a_full_memory(layer, monkeypatch):
    layer.send("a", {})
    with pytest.raises(ChannelFull, match="channel a holds 1 messages, its capacity"):
        layer.send("a", {})
    monkeypatch.setattr(layer.store, "push", lambda entries, expiry: [None])
    with pytest.raises(ChannelFull, match=r"channel a: the memory of InMemoryChannelLayer\(\) is used up"):
        layer.send("a", {})


def test_a_group_is_served_in_steps_and_drops_add_up(layer, monkeypatch):
    steps = []
    push = layer.store.push
    monkeypatch.setattr(
        layer.store, "push", lambda entries, expiry: steps.append(len(entries)) or push(entries, expiry)
    )
    for number in range(2500):
        layer.group_add("g", f"member{number}")
    assert layer.send_group("g", {"n": 1}) == 0
    assert steps == [1000, 1000, 500]
    assert layer.receive(["member2499"]) == ("member2499", {"n": 1})
    assert layer.send_group("g", {"n": 2}) == 2499


def test_what_a_full_memory_has_dropped_of_a_group_is_counted(layer, monkeypatch):
    for name in ("a", "b", "c"):
        layer.group_add("g", name)
    monkeypatch.setattr(layer.store, "push", lambda entries, expiry: [True, False, None])
    assert layer.send_group("g", {}) == 2


def test_names_that_break_the_rules_are_dropped(layer):
    assert layer.send_to_all(["a", "no name", ""], {"n": 1}) == 2
    assert layer.receive(["a"]) == ("a", {"n": 1})


def test_a_name_without_a_capacity_is_dropped():
    class Layer(InMemoryChannelLayer):
        def get_capacity(self, channel):
            if channel == "b":
                raise InvalidName("not here")
            return super().get_capacity(channel)

    layer = Layer()
    assert layer.send_to_all(["a", "b"], {"n": 1}) == 1
    assert layer.receive(["a"]) == ("a", {"n": 1})


def test_a_bad_message_is_an_error_also_for_an_empty_group():
    layer = InMemoryChannelLayer(max_message_bytes=10)
    with pytest.raises(MessageTooLarge):
        layer.send_group("nobody", {"data": "x" * 10})
    with pytest.raises(TypeError):
        layer.send_group("nobody", {"data": object()})


def test_the_names_of_a_process_local_channel_share_its_capacity(layer):
    layer.send("own!a", {})
    with pytest.raises(ChannelFull):
        layer.send("own!b", {})
