"""First in, first out, for each channel."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import redis

from tests.support.reading import each_way_to_read
from tests.support.threads import in_threads


class TestOrder:
    @each_way_to_read
    def test_a_burst_comes_out_in_the_order_of_sending(self, layer_for, redis_server, read):
        layer = layer_for(redis_server, capacity=1_000)
        for number in range(1_000):
            layer.send("work", {"number": number})
        assert [read(layer, ["work"])[1]["number"] for _ in range(1_000)] == list(range(1_000))

    def test_a_batch_comes_out_in_the_order_of_sending(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=1_000)
        for number in range(1_000):
            layer.send("work", {"number": number})
        numbers = []
        while len(numbers) < 1_000:
            messages = layer.receive_batch(["work"], 64)
            assert 0 < len(messages) <= 64
            numbers += [message["number"] for _, message in messages]
        assert numbers == list(range(1_000))

    def test_a_burst_to_one_process_comes_out_in_order_whatever_its_local_parts(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=1_000)
        names = [f"specific.one!{'zyx'[number % 3]}{number}" for number in range(300)]
        for name in names:
            layer.send(name, {})
        assert [layer.receive(["specific.one!"])[0] for _ in names] == names

    def test_group_sends_and_sends_keep_their_order(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=1_000)
        layer.group_add("chat", "work")
        for number in range(0, 200, 2):
            layer.send("work", {"number": number})
            layer.send_group("chat", {"number": number + 1})
        assert [layer.receive(["work"])[1]["number"] for _ in range(200)] == list(range(200))

    def test_senders_clocks_do_not_matter(self, layer_for, redis_server, monkeypatch):
        layer = layer_for(redis_server, capacity=1_000)
        senders = [(layer_for(redis_server, capacity=1_000), skew) for skew in (-3600, 0, 3600)]
        clock, skews = time.time, [0]
        monkeypatch.setattr(time, "time", lambda: clock() + skews[0])
        for number in range(999):
            sender, skews[0] = senders[number % 3]
            sender.send("work", {"number": number})
        skews[0] = 0
        assert [layer.receive(["work"])[1]["number"] for _ in range(999)] == list(range(999))

    @each_way_to_read
    @pytest.mark.parametrize("way", ["send", "send_group", "delayed"])
    def test_nor_does_it_matter_that_the_clock_of_redis_was_set_back(self, layer_for, redis_server, read, way):
        """A message that was sent before has a score in the future, and bytes that sort behind all others."""
        layer = layer_for(redis_server)
        layer.group_add("chat", "work")
        with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
            entry = b"\xff" * 12 + layer.serialize({"number": 0})[12:]
            client.zadd(f"{layer.prefix}work", {entry: time.time() + 30})
        for number in (1, 2):
            if way == "send":
                layer.send("work", {"number": number})
            elif way == "send_group":
                layer.send_group("chat", {"number": number})
            else:
                layer.delayed.send("work", {"number": number}, 0)
                layer.delayed.deliver()
        assert [read(layer, ["work"])[1]["number"] for _ in range(3)] == [0, 1, 2]

    def test_each_senders_messages_keep_their_order_when_eight_send_at_once(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=2_000)

        def send(sender):
            for number in range(100):
                layer.send("work", {"sender": sender, "number": number})

        in_threads(send, range(8))
        numbers = {sender: [] for sender in range(8)}
        for _ in range(800):
            message = layer.receive(["work"])[1]
            numbers[message["sender"]].append(message["number"])
        assert numbers == {sender: list(range(100)) for sender in range(8)}


class TestSeveralReaders:
    """What a thread begins to receive after another has received a message was not sent before that one."""

    @pytest.mark.parametrize("block", [False, True], ids=["looking", "waiting"])
    def test_a_groups_message_comes_before_what_was_sent_after_it(self, layer_for, redis_server, block):
        layer = layer_for(redis_server, capacity=50)
        layer.block_timeout = 0.2
        names = [f"own.1!{name}" for name in "abc"]
        for name in names:
            layer.group_add("chat", name)
        received, sent_all = [], threading.Event()

        def send():
            for number in range(0, 1600, 2):
                layer.send_group("chat", {"number": number})
                for name in names[1:]:
                    with contextlib.suppress(layer.ChannelFull):
                        layer.send(name, {"number": number + 1})
            sent_all.set()

        def read(_):
            while True:
                last = sent_all.is_set()
                begun = time.monotonic()
                channel, message = layer.receive(["own.1!"], block=block)
                if channel is not None:
                    received.append((channel, message["number"], begun, time.monotonic()))
                elif last:
                    return

        sender = threading.Thread(target=send)
        sender.start()
        in_threads(read, range(3))
        sender.join()
        assert len(received) > 100  # greenlets read more slowly than they send, and queues are full
        for name in names:
            latest = -1.0
            for _, begun, ended in sorted(row[1:] for row in received if row[0] == name):
                assert ended >= latest, "the one before was received by a call that began later"
                latest = max(latest, begun)
