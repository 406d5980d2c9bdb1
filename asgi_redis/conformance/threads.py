"""One layer object in many threads: no message is lost, and none comes twice."""

from __future__ import annotations

import threading
import time

import pytest

from asgi_redis.conformance.suite import KINDS, PATIENCE_SECONDS, Layer, MakeLayer, Suite, Threads

SENDERS, EACH = 4, 60


class ThreadTests(Suite):
    """Tests of promises of this project: ASGI 1.x asks for at most once."""

    @pytest.mark.parametrize("block", [False, True], ids=["look", "block"])
    def test_nothing_is_lost_and_nothing_is_doubled(self, layer_for: MakeLayer, block: bool) -> None:
        """Four threads send, four receive, to and from three channels."""
        layer = layer_for(capacity=SENDERS * EACH)
        layer.block_timeout = 0.2
        received: list[int] = []
        all_sent = threading.Event()

        def send(first: int) -> None:
            for number in range(first, first + EACH):
                layer.send(list(KINDS)[number % 3], {"n": number})

        def receive() -> None:
            while True:
                last = all_sent.is_set()
                _, message = layer.receive(list(KINDS.values()), block=block)
                if message is not None:
                    received.append(message["n"])
                else:
                    time.sleep(0)  # under gevent, a layer that only looks lets no other greenlet run
                # A layer that doubles messages may do so for ever.
                if last and (message is None or len(received) > SENDERS * EACH):
                    return

        with Threads() as receivers:
            try:
                for _ in range(4):
                    receivers.start(receive)
                with Threads() as senders:
                    for sender in range(SENDERS):
                        senders.start(send, sender * EACH)
            finally:
                all_sent.set()
        assert len(received) == len(set(received)), "a message was handed out twice"
        assert sorted(received) == list(range(SENDERS * EACH)), "a message was lost"

    def test_each_senders_messages_arrive_in_its_order(self, layer_for: MakeLayer) -> None:
        layer = layer_for(capacity=SENDERS * EACH)

        def send(sender: int) -> None:
            for number in range(EACH):
                layer.send("reply?a", {"sender": sender, "n": number})

        with Threads() as threads:
            for sender in range(SENDERS):
                threads.start(send, sender)
        received: list[list[int]] = [[] for _ in range(SENDERS)]
        for _ in range(SENDERS * EACH):
            _, message = layer.receive(["reply?a"])
            received[message["sender"]].append(message["n"])
        assert received == [list(range(EACH))] * SENDERS

    def test_groups_and_channels_work_at_once_in_many_threads(self, group_layer: Layer) -> None:
        """Each thread has a channel, and all channels are in one group."""
        members = 5
        together = threading.Barrier(members, timeout=PATIENCE_SECONDS)

        def take_part(own: int) -> None:
            name = group_layer.new_channel(f"own.{own}?")
            group_layer.group_add("all", name)
            together.wait()
            group_layer.send_group("all", {"from": own})
            together.wait()
            received = [group_layer.receive([name])[1]["from"] for _ in range(members)]
            assert sorted(received) == list(range(members))
            assert group_layer.receive([name]) == (None, None)

        with Threads() as threads:
            for own in range(members):
                threads.start(take_part, own)
