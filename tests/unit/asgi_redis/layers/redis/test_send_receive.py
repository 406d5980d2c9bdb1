"""Sending to channels, receiving from them, and ending a wait."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from asgi_redis import ChannelFull
from tests.support.waiting import eventually


def calls_of_scripts(client):
    return client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


class TestSendAndReceive:
    @pytest.mark.parametrize("channel", ["work", "reply?abc"])
    @pytest.mark.parametrize("block", [False, True])
    def test_a_message_arrives_at_its_channel(self, any_layer, channel, block):
        any_layer.send(channel, {"text": "hello"})
        assert any_layer.receive([channel], block=block) == (channel, {"text": "hello"})

    @pytest.mark.parametrize("block", [False, True])
    def test_a_process_local_message_arrives_under_its_full_name(self, any_layer, block):
        any_layer.send("specific.abc!xyz", {"text": "hello"})
        assert any_layer.receive(["specific.abc!"], block=block) == ("specific.abc!xyz", {"text": "hello"})

    def test_where_there_is_nothing_it_returns_two_nones(self, any_layer):
        assert any_layer.receive(["work"]) == (None, None)
        assert any_layer.receive([]) == (None, None)

    def test_a_message_is_received_once(self, any_layer):
        any_layer.send("work", {})
        assert any_layer.receive(["work"]) == ("work", {})
        assert any_layer.receive(["work"]) == (None, None)

    @pytest.mark.parametrize("kind", [list, tuple, set, frozenset, dict.fromkeys, iter])
    def test_channels_may_be_any_collection(self, layer, kind):
        layer.send("b", {})
        assert layer.receive(kind(["a", "b"])) == ("b", {})

    def test_block_waits_for_block_timeout(self, layer):
        layer.block_timeout = 0.15
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert 0.15 <= time.monotonic() - started < 4

    def test_a_batch_takes_one_from_each_channel_in_turn(self, layer):
        for channel in ("a", "b"):
            for number in range(3):
                layer.send(channel, {"n": number})
        batch = layer.receive_batch(["a", "b"], 4)
        assert sorted((channel, message["n"]) for channel, message in batch) == [
            ("a", 0),
            ("a", 1),
            ("b", 0),
            ("b", 1),
        ]

    def test_a_batch_is_taken_from_all_shards(self, sharded):
        for number in range(9):
            sharded.send("work", {"n": number})
        batch = sharded.receive_batch(["work"], 20, timeout=5)
        assert sorted(message["n"] for _, message in batch) == list(range(9))

    def test_a_batch_never_exceeds_its_limit_however_many_channels_its_messages_are_for(self, layer):
        for number in range(4):
            layer.group_add("chat", f"p!{number}")
        for number in range(2):
            layer.send_group("chat", {"n": number})
        batches = [layer.receive_batch(["p!"], 5), layer.receive_batch(["p!"], 5)]
        assert [len(batch) for batch in batches] == [5, 3]
        expected = [(f"p!{number}", {"n": n}) for n in range(2) for number in range(4)]
        assert sorted(batches[0] + batches[1], key=str) == sorted(expected, key=str)

    def test_a_batch_of_nothing_is_refused(self, layer):
        with pytest.raises(ValueError, match="limit must be 1 message or more, not 0"):
            layer.receive_batch(["work"], 0)

    def test_what_one_shard_gave_is_handed_out_while_another_is_down(
        self, layer_for, redis_server, fresh_redis_server
    ):
        layer = layer_for(redis_server, fresh_redis_server)
        for number in range(4):
            layer.send("work", {"n": number})
        fresh_redis_server.kill()
        received, errors = [], 0
        for _ in range(6):
            try:
                received += layer.receive_batch(["work"], 10)
            except redis.exceptions.ConnectionError:
                errors += 1
        assert len(received) == 2
        assert errors >= 3

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_an_interruption_between_request_and_reply_loses_nothing(self, sharded, monkeypatch, nth):
        from asgi_redis.connection import exchange

        for number in range(6):
            sharded.send("work", {"n": number})
        read, calls = exchange.read_some, []

        def interrupted(*args):
            calls.append(args)
            if len(calls) == nth:
                raise KeyboardInterrupt
            return read(*args)

        with monkeypatch.context() as patch:
            patch.setattr(exchange, "read_some", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sharded.receive_batch(["work"], 10)
        received = sharded.receive_batch(["work"], 10) + sharded.receive_batch(["work"], 10)
        assert sorted(message["n"] for _, message in received) == list(range(6))

    def test_a_key_of_another_kind_costs_no_message_of_another_channel(self, layer, client, prefix):
        layer.send("good", {"n": 1})
        client.lpush(f"{prefix}bad", "a list, as asgi_redis 1 has them")
        received, errors = [], set()
        for _ in range(4):
            try:
                received += layer.receive_batch(["good", "bad"], 10)
            except redis.exceptions.ResponseError as error:
                errors.add(str(error).split()[0])
        assert received == [("good", {"n": 1})]
        assert errors == {"WRONGTYPE"}

    def test_a_full_channel_raises_and_says_which(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=2, channel_capacity={"small*": 1})
        layer.send("work", {})
        layer.send("work", {})
        with pytest.raises(ChannelFull, match="channel work holds 2 messages, its capacity"):
            layer.send("work", {})
        layer.send("small.one", {})
        with pytest.raises(layer.ChannelFull, match=r"small\.one holds 1 "):
            layer.send("small.one", {})

    def test_sharded_a_channel_has_its_capacity_all_shards_together(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, capacity=7)
        for _ in range(7):
            layer.send("work", {})
        with pytest.raises(ChannelFull):
            layer.send("work", {})
        layer.receive(["work"])
        layer.send("work", {})
        with pytest.raises(ChannelFull):
            layer.send("work", {})

    def test_a_look_into_very_many_channels_is_made_in_parts(self, layer, client):
        names = [f"work{number}" for number in range(12_000)]
        layer.send("other", {})
        before = calls_of_scripts(client)
        assert layer.receive_batch(names, 10) == []
        assert calls_of_scripts(client) == before + 3
        for number in range(0, 12_000, 1_000):
            layer.send(f"work{number}", {})
        found = layer.receive_batch(names, 100)
        assert sorted(found) == sorted((f"work{number}", {}) for number in range(0, 12_000, 1_000))

    def test_receive_many_is_the_deprecated_name_of_receive(self, layer):
        layer.send("work", {"a": 1})
        with pytest.warns(DeprecationWarning, match="receive_many is deprecated; use receive"):
            assert layer.receive_many(["work"]) == ("work", {"a": 1})

    def test_the_message_is_left_as_it_was(self, layer):
        message = {"a": [1]}
        layer.send("p!x", message)
        layer.group_add("chat", "p!x")
        layer.send_group("chat", message)
        assert message == {"a": [1]}

    def test_new_channel_makes_valid_names_that_differ(self, layer):
        names = {layer.new_channel("http.response?") for _ in range(1000)}
        assert len(names) == 1000
        assert all(name.startswith("http.response?") and layer.valid_channel_name(name) for name in names)

    @pytest.mark.parametrize("pattern", ["http.response", "http.response!", "a?b", "", None, "x" * 99 + "?", "ü?"])
    def test_a_pattern_for_new_channels_ends_in_a_question_mark(self, layer, pattern):
        with pytest.raises(TypeError):
            layer.new_channel(pattern)

    def test_messages_that_cannot_be_decoded_are_counted(self, layer, client, prefix):
        client.zadd(f"{prefix}work", {b"garbage": time.time()})
        assert layer.receive(["work"]) == (None, None)
        assert layer.undecodable_count == 1


class TestUnblock:
    def test_it_ends_a_wait_at_once(self, sharded):
        sharded.block_timeout = 30
        received = []
        thread = threading.Thread(target=lambda: received.append(sharded.receive(["work"], block=True)))
        thread.start()
        eventually(lambda: sharded._receiver._waiting)
        started = time.monotonic()
        sharded.unblock()
        thread.join(10)
        assert time.monotonic() - started < 8
        assert received == [(None, None)]

    def test_it_ends_a_wait_that_is_about_to_begin(self, layer, monkeypatch):
        layer.block_timeout = 30
        receiver = layer._receiver
        idle_pipe = receiver._idle_pipe

        def unblocked_just_before():
            layer.unblock()  # nobody is waiting yet
            return idle_pipe()

        monkeypatch.setattr(receiver, "_idle_pipe", unblocked_just_before)
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert time.monotonic() - started < 5

    def test_a_message_that_is_requeued_when_a_wait_is_about_to_begin_is_seen(self, layer, monkeypatch):
        receiver = layer._receiver
        idle_pipe = receiver._idle_pipe

        def requeued_just_before():
            layer.requeue("own!x", {"n": 1})  # nothing waits yet
            return idle_pipe()

        monkeypatch.setattr(receiver, "_idle_pipe", requeued_just_before)
        started = time.monotonic()
        assert layer.receive(["own!"], block=True) == ("own!x", {"n": 1})
        assert time.monotonic() - started < 4

    def test_it_does_nothing_to_a_later_wait(self, layer):
        layer.unblock()
        layer.block_timeout = 0.1
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert time.monotonic() - started >= 0.1

    @pytest.mark.native("greenlets that never wait keep the others from running")
    def test_many_at_once_leave_no_wake_behind(self, layer):
        layer.block_timeout = 0.2
        stop = threading.Event()

        def unblock():
            while not stop.is_set():
                layer.unblock()

        threads = [threading.Thread(target=unblock) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(50):
                assert layer.receive(["work"], block=True) == (None, None)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        started = time.monotonic()
        pops = layer._shards[0]
        asked = []
        execute = pops.execute
        pops.execute = lambda operation, **options: asked.append(operation) or execute(operation, **options)
        assert layer.receive(["work"], block=True) == (None, None)
        assert time.monotonic() - started >= 0.2
        assert len(asked) <= 4, "the wait was ended and begun again and again"


def test_a_wait_however_short_finds_a_message_that_is_there(layer):
    layer.send("work", {"n": 1})
    assert layer.receive_batch(["work"], 1, 1e-9) == [("work", {"n": 1})]
    assert layer.receive_batch(["work"], 1, 1e-9) == []
