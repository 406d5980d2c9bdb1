"""Looking at a layer over a store: nothing is taken, garbage does no harm, steps are short."""

from __future__ import annotations

import threading

import pytest

from asgi_redis.exceptions import InvalidName
from tests.support.stores.both import store_clock, store_layer, store_layer_for  # noqa: F401  fixtures


@pytest.fixture
def clock(store_clock):  # noqa: F811
    return store_clock


@pytest.fixture
def layer(store_layer):  # noqa: F811
    return store_layer


def swept(layer):
    """All queues and groups of one sweep, and the number of its steps."""
    queues, groups, steps = {}, {}, 0
    for found in layer.inspector.sweep():
        assert not queues.keys() & found.queues.keys()
        assert not groups.keys() & found.groups.keys()
        queues.update(found.queues)
        groups.update(found.groups)
        steps += 1
    return queues, groups, steps


class TestSweep:
    def test_an_empty_layer(self, layer):
        assert swept(layer)[:2] == ({}, {})

    def test_queues_and_groups_with_their_numbers(self, layer):
        for channel in ("a", "a", "own!1", "own!2", "own!2", "reply?x"):
            layer.send(channel, {})
        for channel in ("a", "own!1", "b"):
            layer.group_add("g", channel)
        layer.group_add("gg", "a")
        assert swept(layer)[:2] == ({"a": 2, "own!": 3, "reply?x": 1}, {"g": 3, "gg": 1})
        assert layer.receive_batch(["a", "own!"], 10) != []  # it has taken nothing

    def test_a_channel_that_is_always_empty_is_seen_while_it_has_counters(self, layer, clock):
        for channel in ("busy", "reply?x"):
            layer.send(channel, {})
            layer.receive([channel])
        assert swept(layer)[0] == {"busy": 0}
        clock.now += 3601
        assert swept(layer)[0] == {}

    def test_a_single_reader_channel_that_is_empty_is_not_seen(self, layer, clock):
        """Neither while a reader waits for the next message, nor when its message has expired."""
        with layer.store.listen(["reply?x"]) as one, layer.store.listen(["reply?x"]) as other:
            assert one.pop(["reply?x"], 1, 60) == other.pop(["reply?x"], 1, 60) == []
            layer.send("reply?x", {})
            assert one.pop(["reply?x"], 1, 60)
            layer.send("reply?y", {})
            clock.now += 61
            assert layer.channel_statistics("reply?y")["messages_pending"] == 0
            queues = swept(layer)[0]
            assert {queue for queue, number in queues.items() if not number} == set()

    def test_a_member_that_has_expired_is_none(self, layer, clock):
        layer.group_add("g", "old")
        layer.group_add("gone", "old")
        clock.now += layer.group_expiry
        layer.group_add("g", "new")
        clock.now += 1
        assert swept(layer)[1] == {"g": 1}

    def test_a_waiting_reader_makes_no_channel(self, layer, clock):
        clock.now = 100.0  # seconds since the machine was started
        with layer.store.listen(["idle"]) as listener:
            listener.pop(["idle"], 1, 60)
            assert swept(layer)[0] == {}

    def test_thousands_take_several_steps_and_all_are_found_amid_traffic(self, store_layer_for):  # noqa: F811
        """Those that exist from the first step to the last; others come and go, and are removed meanwhile."""
        layer = store_layer_for(capacity=10_000)
        for number in range(1300):
            layer.send(f"stays.{number}", {})
        for number in range(2300):
            layer.group_add("large", f"member{number}")
        for number in range(1300):
            layer.group_add(f"group.{number}", "a")
        queues, groups, steps = {}, {}, 0
        for found in layer.inspector.sweep():
            queues.update(found.queues)
            groups.update(found.groups)
            assert len(found.queues) <= 500
            assert len(found.groups) <= 2000
            for number in range(20):  # they sweep, too
                layer.send(f"new.{steps}.{number}", {})
                layer.receive([f"new.{steps}.{number}"])
                layer.group_add(f"new.{steps}.{number}", "a")
                layer.group_discard(f"new.{steps}.{number}", "a")
            steps += 1
        assert steps >= 4
        assert {f"stays.{number}" for number in range(1300)} <= queues.keys()
        assert {f"group.{number}" for number in range(1300)} <= groups.keys()
        assert groups["large"] == 2300

    def test_other_threads_work_between_the_steps(self, layer):
        for number in range(1300):
            layer.send(f"a.{number}", {})
        sweep = layer.inspector.sweep()
        next(sweep)
        thread = threading.Thread(target=layer.send, args=("b", {"n": 1}))
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        sweep.close()
        assert layer.receive(["b"]) == ("b", {"n": 1})


class TestPeek:
    def test_the_first_ones_the_oldest_first_and_they_stay(self, layer, clock):
        for number in range(5):
            layer.send("a", {"n": number})
            clock.now += 2
        size = len(layer.serialize({"n": 0}))
        peeked = layer.inspector.peek("a", 3)
        assert peeked == [("a", 10.0, size, None), ("a", 8.0, size, None), ("a", 6.0, size, None)]
        assert [message["n"] for _, message in layer.receive_batch(["a"], 10)] == list(range(5))
        assert layer.inspector.peek("a", 3) == []
        assert layer.inspector.peek("unknown", 3) == []

    def test_the_content_only_when_it_is_asked_for(self, layer):
        layer.send("a", {"password": "x"})
        assert [message.content for message in layer.inspector.peek("a", 1)] == [None]
        assert [message.content for message in layer.inspector.peek("a", 1, content=True)] == [{"password": "x"}]

    def test_everything_under_a_prefix(self, layer):
        layer.send("own!one", {"n": 1})
        layer.send("own!two", {"n": 2})
        peeked = layer.inspector.peek("own!", 10, content=True)
        assert [(message.channel, message.content) for message in peeked] == [
            ("own!one", {"n": 1}),
            ("own!two", {"n": 2}),
        ]

    def test_a_message_that_has_expired_is_none(self, layer, clock):
        layer.send("a", {"n": 1})
        clock.now += 59
        layer.send("a", {"n": 2})
        clock.now += 2
        assert [message.age for message in layer.inspector.peek("a", 10)] == [2.0]

    @pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x01", b"\x93\x01", b"\x81\x01"])
    def test_garbage_has_no_content_and_counts_for_nothing(self, layer, garbage, caplog):
        layer.store.push([("a", "a", garbage, 100)], 60)
        layer.send("a", {"n": 1})
        contents = [message.content for message in layer.inspector.peek("a", 10, content=True)]
        assert contents == [None, {"n": 1}]
        assert layer.undecodable_count == 0
        assert caplog.records == []

    def test_a_message_that_another_key_has_encrypted_has_no_content(self, store_layer_for):  # noqa: F811
        pytest.importorskip("cryptography")
        layer = store_layer_for(symmetric_encryption_keys=["mine"])
        layer.send("a", {"n": 1})
        layer.store.push([("a", "a", b"gAAAA", 100)], 60)
        contents = [message.content for message in layer.inspector.peek("a", 10, content=True)]
        assert contents == [{"n": 1}, None]

    def test_many_and_large_messages_take_several_steps(self, store_layer_for):  # noqa: F811
        layer = store_layer_for(capacity=10_000)
        for number in range(1200):
            layer.send("a", {"n": number})
        for number in range(8):
            layer.send("large", {"data": b"x" * 500_000, "n": number})
        assert [one.content["n"] for one in layer.inspector.peek("a", 1100, content=True)] == list(range(1100))
        assert [one.content["n"] for one in layer.inspector.peek("large", 10, content=True)] == list(range(8))

    @pytest.mark.parametrize("name", ["no name", "own!one", "reply?", 5])
    def test_a_name_that_cannot_be_received_from_is_an_error(self, layer, name):
        with pytest.raises(InvalidName):
            layer.inspector.peek(name, 1)
        with pytest.raises(InvalidName):
            layer.inspector.purge(name)


class TestPurge:
    def test_it_deletes_the_messages_of_one_channel_and_counts_them(self, layer):
        for channel in ("a", "a", "a", "a", "b", "own!1", "own!2"):
            layer.send(channel, {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})
        assert layer.inspector.purge("a") == 3
        assert layer.inspector.purge("own!") == 2
        assert layer.inspector.purge("unknown") == 0
        assert layer.receive(["a", "own!"]) == (None, None)
        assert layer.receive(["b"]) == ("b", {"n": 1})

    def test_there_is_room_again_and_the_counters_stay(self, store_layer_for):  # noqa: F811
        layer = store_layer_for(capacity=2)
        for _ in range(2):
            layer.send("a", {})
        layer.inspector.purge("a")
        layer.send("a", {"n": 3})
        assert layer.channel_statistics("a")["messages_count"] == 3
        assert layer.receive(["a"]) == ("a", {"n": 3})

    def test_one_that_has_expired_is_counted_as_such(self, layer, clock):
        layer.send("a", {})
        clock.now += 59
        layer.send("a", {})
        clock.now += 2
        assert layer.inspector.purge("a") == 1
        assert layer.channel_statistics("a")["messages_expired"] == 1
        assert layer.channel_statistics("a")["messages_pending"] == 0

    def test_a_single_reader_channel_leaves_nothing(self, layer):
        layer.send("reply?x", {})
        assert layer.inspector.purge("reply?x") == 1
        assert swept(layer)[0] == {}
        assert layer.channel_statistics("reply?x")["messages_count"] == 0
        assert layer.global_statistics()["messages_count"] == 1

    def test_many_messages_and_more_that_come_meanwhile(self, store_layer_for):  # noqa: F811
        """Messages that are sent after the call has begun may stay; it ends."""
        layer = store_layer_for(capacity=100_000)
        for _ in range(1700):
            layer.send("a", {"n": 0})
        assert layer.inspector.purge("a") == 1700
        assert layer.inspector.purge("a") == 0
        layer.send("a", {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})

    def test_a_waiting_reader_is_woken_by_the_next_message(self, layer):
        with layer.store.listen(["a"]) as listener:
            listener.pop(["a"], 1, 60)
            layer.inspector.purge("a")
            layer.send("a", {"n": 1})
            assert [channel for channel, _, _ in listener.pop(["a"], 1, 60)] == ["a"]


def test_there_are_no_servers_and_no_delayed_messages(layer):
    assert layer.inspector.servers() == []
    assert layer.inspector.delayed(10) == (0, 0, None, ())
