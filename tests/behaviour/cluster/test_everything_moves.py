"""All calls at once, in threads, while all shards move at random: each message arrives once, each call succeeds."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest

from asgi_redis.wire import Witness
from tests.support.clusters import slot_of
from tests.support.waiting import eventually

SHARDS = 4
MOVES = 100
MEMBERS = [*(f"member.{n}?x" for n in range(8)), *(f"process.abc!{n}" for n in range(3))]
CHANNELS = ["work", "process.abc!", *(name for name in MEMBERS if "!" not in name)]


class Everything:
    """``sent`` and ``received`` count messages by their kind, number and channel; ``errors`` are those of calls."""

    def __init__(self, make_layer):
        self.layer = make_layer()
        self.own_layer = make_layer()  # which keeps to itself what it has received and not handed out
        self.sent, self.received, self.errors = Counter(), Counter(), []
        self._has_ended, self._is_drained = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        for member in MEMBERS:
            self.layer.group_add("chat", member)

    def send(self, n):
        self.layer.send("work", {"key": ["send", n]})
        self._count(self.sent, ("send", n, "work"))

    def send_once(self, n):
        self.layer.repeatable_send("work", {"key": ["once", n]}, Witness("me", n))()
        self._count(self.sent, ("once", n, "work"))

    def send_group(self, n):
        assert self.layer.send_group("chat", {"key": ["group", n]}) == 0
        for member in MEMBERS:
            self._count(self.sent, ("group", n, member))
        self._has_ended.wait(0.01)

    def delay(self, n):
        self.layer.delayed.send("work", {"key": ["delayed", n]}, random.random() / 5)
        self._count(self.sent, ("delayed", n, "work"))
        self._has_ended.wait(0.005)

    def deliver(self, n):
        self.layer.delayed.deliver()
        self._has_ended.wait(0.02)

    def join_and_leave(self, n):
        channel = f"guest.{n}?x"
        self.layer.group_add("guests", channel)
        assert channel in self.layer.group_channels("guests")
        self.layer.group_discard("guests", channel)
        assert channel not in self.layer.group_channels("guests")

    def look(self, n):
        self.layer.global_statistics()
        self.layer.channel_statistics("work")
        self.layer.many_channel_statistics(CHANNELS)
        self._has_ended.wait(0.05)

    def receive_batch(self, source, timeout=0.5):
        batch = source.receive_batch(CHANNELS, 20, timeout)
        for channel, message in batch:
            self._count(self.received, (*message["key"], channel))
        return len(batch)

    def receive_in_turn(self, layer):
        layer.block_timeout = 0.5
        channel, message = layer.receive(random.sample(CHANNELS, random.choice([1, 4])), block=True)
        if message is not None:
            self._count(self.received, (*message["key"], channel))

    def while_it_goes_on(self, rebuild):
        calls = [self.send, self.send_once, self.send_group, self.delay, self.deliver, self.join_and_leave, self.look]
        sending = [threading.Thread(target=self._repeat, args=(call, self._has_ended)) for call in calls]
        reader = self.layer.reader()
        sources = [
            lambda _: self.receive_batch(self.layer),
            lambda _: self.receive_batch(reader),
            lambda _: self.receive_in_turn(self.own_layer),
        ]
        reading = [threading.Thread(target=self._repeat, args=(call, self._is_drained)) for call in sources]
        for thread in [*sending, *reading]:
            thread.start()
        try:
            rebuild()
        finally:
            self._has_ended.set()
            for thread in sending:
                thread.join()
            eventually(lambda: self.layer.delayed.deliver() is None, timeout=20)
            self._is_drained.set()
            for thread in reading:
                thread.join()
            reader.close()
        while self.receive_batch(self.layer, 0) or self.receive_batch(self.own_layer, 0):
            pass

    def _repeat(self, call, end):
        n = 0
        while not end.is_set():
            n += 1
            try:
                call(n)
            except Exception as error:  # noqa: BLE001  looked at in the end
                self.errors.append(error)

    def _count(self, counter, key):
        with self._lock:
            counter[key] += 1


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_each_message_arrives_once_and_each_call_succeeds(three_masters, cluster_layer, prefix):
    slots = [slot_of(f"{{{prefix}:{number}}}") for number in range(SHARDS)]

    def rebuild():
        for _ in range(MOVES):
            slot = random.choice(slots)
            there = three_masters.master_of(slot)
            to = random.choice([node for node in three_masters.nodes if node is not there])
            if three_masters.can_move_atomically() and random.random() < 0.4:
                three_masters.move_slot_atomically(slot, to)
                continue
            three_masters.begin_move(slot, to)
            keys = three_masters.run(there, "CLUSTER", "GETKEYSINSLOT", slot, 100)
            for key in random.sample(keys, len(keys) // 2):
                three_masters.migrate(slot, [key])
            sent = sum(everything.sent.values())
            eventually(lambda sent=sent: sum(everything.sent.values()) > sent + 50, timeout=20)
            three_masters.end_move(slot)

    everything = Everything(lambda: cluster_layer(three_masters, shards=SHARDS))
    everything.while_it_goes_on(rebuild)
    assert everything.errors == []
    assert everything.received == everything.sent
    assert set(everything.received.values()) == {1}
    assert {kind for kind, _, _ in everything.received} == {"send", "once", "group", "delayed"}
