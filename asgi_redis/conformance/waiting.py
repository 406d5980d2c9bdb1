"""Waiting: ``receive(channels, block=True)`` of ASGI 1.x, batches and readers."""

from __future__ import annotations

import statistics
import time
from typing import Any

from asgi_redis.conformance.suite import (
    KINDS,
    PATIENCE_SECONDS,
    SETTLE_SECONDS,
    Layer,
    Suite,
    Threads,
    drain,
    each_kind,
    receive_within,
    send_all,
    wait_until,
)


class WaitingTests(Suite):
    """Tests that waiting costs nothing and ends at once, as this project promises."""

    def test_with_nothing_to_receive_it_returns_nothing_after_its_time(self, layer: Layer) -> None:
        """``block_timeout`` seconds. ASGI leaves the time to the layer."""
        layer.block_timeout = 0.3
        began = time.monotonic()
        assert layer.receive(["a", "own!"], block=True) == (None, None)
        took = time.monotonic() - began
        assert 0.29 <= took < 4, f"waited for {took:.3f} s instead of 0.3 s"

    def test_without_block_it_returns_at_once(self, layer: Layer) -> None:
        """ASGI: ``block=False`` never waits."""
        layer.receive(["a"])  # connects
        layer.block_timeout = 2.5
        began = time.monotonic()
        assert layer.receive(["a"]) == (None, None)
        assert time.monotonic() - began < 2

    def test_messages_that_are_there_are_returned_at_once(self, layer: Layer) -> None:
        send_all(layer, "a", range(3))
        layer.block_timeout = 2.5
        began = time.monotonic()
        received = [layer.receive(["none", "a"], block=True)[1]["n"] for _ in range(3)]
        assert sorted(received) == [0, 1, 2]
        assert time.monotonic() - began < 2

    @each_kind
    def test_a_message_wakes_its_receiver_at_once(self, layer: Layer, channel: str, read: str) -> None:
        """
        Within 50 ms in one of three tries, as the machine may be busy.

        A layer that polls, or waits for one channel only, is slower.
        """
        for _ in range(3):
            delays = self._delays(layer, channel, read)
            if statistics.median(delays) < 0.05:
                return
        raise AssertionError(f"it took {[f'{delay * 1000:.1f} ms' for delay in delays]}")

    def _delays(self, layer: Layer, channel: str, read: str) -> list[float]:
        """Return how long each of five messages took to its receiver, which waited."""
        delays = []
        for number in range(5):
            with Threads() as threads:
                received: list[Any] = []

                def wait(received: list[Any] = received) -> None:
                    received.append(receive_within(layer, ["idle", read, "idle!"]))
                    received.append(time.monotonic())

                threads.start(wait)
                # Longer each time, so that a layer that looks at intervals is late.
                wait_until(time.monotonic() + SETTLE_SECONDS + 0.017 * number)
                sent = time.monotonic()
                layer.send(channel, {"n": number})
            assert received[0] == (channel, {"n": number})
            delays.append(received[1] - sent)
        return delays

    def test_a_message_to_a_group_wakes_all_its_receivers(self, group_layer: Layer) -> None:
        received: list[Any] = []
        for channel in KINDS:
            group_layer.group_add("g", channel)
        with Threads() as threads:
            for read in KINDS.values():
                threads.start(lambda read=read: received.append(receive_within(group_layer, [read])))
            wait_until(time.monotonic() + SETTLE_SECONDS)
            group_layer.send_group("g", {"n": 1})
        assert sorted(channel for channel, _ in received) == list(KINDS)

    def test_one_message_reaches_one_of_several_receivers(self, layer: Layer) -> None:
        """The others go on waiting."""
        received: list[Any] = []
        with Threads() as threads:
            for _ in range(4):
                threads.start(lambda: received.append(receive_within(layer, ["a"])))
            wait_until(time.monotonic() + SETTLE_SECONDS)
            send_all(layer, "a", range(4))
        assert sorted(message["n"] for _, message in received) == [0, 1, 2, 3]
        assert drain(layer, "a") == []

    def test_a_receiver_whose_time_runs_out_takes_no_wake_up_with_it(self, layer: Layer) -> None:
        received: list[Any] = []
        layer.block_timeout = 2 * SETTLE_SECONDS
        with Threads() as threads:
            others = [threads.start(layer.receive, ["a"], True) for _ in range(3)]
            wait_until(time.monotonic() + SETTLE_SECONDS)
            threads.start(lambda: received.append(receive_within(layer, ["a"])))
            for other in others:
                other.join()
            layer.send("a", {"n": 1})
        assert received == [("a", {"n": 1})]

    def test_waiting_costs_no_time_of_the_processor(self, layer: Layer) -> None:
        """Less than a twentieth of the time that it waits."""
        layer.block_timeout = 0.5
        layer.receive(["a"])
        began = time.thread_time()
        layer.receive(["a", "b", "own!"], block=True)
        spent = time.thread_time() - began
        assert spent < 0.025, f"{spent:.3f} s of the processor for 0.5 s of waiting"

    def test_a_batch_waits_for_its_timeout_or_a_message(self, layer: Layer) -> None:
        self.needs("receive_batch")
        began = time.monotonic()
        assert layer.receive_batch(["a"], 5, 0.2) == []
        assert 0.19 <= time.monotonic() - began < 4
        received: list[Any] = []
        with Threads() as threads:
            threads.start(lambda: received.extend(layer.receive_batch(["a"], 5, PATIENCE_SECONDS)))
            wait_until(time.monotonic() + SETTLE_SECONDS)
            layer.send("a", {"n": 1})
        assert received == [("a", {"n": 1})]

    def test_unblock_ends_all_waits(self, layer: Layer) -> None:
        """As if the time had run out, in all threads. A later wait is not ended."""
        self.needs("unblock")
        layer.block_timeout = 2.5
        received: list[Any] = []
        began = time.monotonic()
        with Threads() as threads:
            waiting = [threads.start(lambda: received.append(layer.receive(["a"], block=True))) for _ in range(3)]
            while any(thread.is_alive() for thread in waiting):
                layer.unblock()
                waiting[0].join(0.01)
        assert received == [(None, None)] * 3
        assert time.monotonic() - began < 2.2, "they have waited for all of their 2.5 s"
        layer.block_timeout = 0.2
        began = time.monotonic()
        assert layer.receive(["a"], block=True) == (None, None)
        assert time.monotonic() - began >= 0.19, "an unblock ended a wait that began after it"

    def test_a_readers_unblock_ends_the_wait_that_goes_on_or_the_next_one(self, layer: Layer) -> None:
        """A worker's stop is not missed because it comes between two waits."""
        self.needs("unblock")
        reader = layer.reader()
        while not reader.serving:
            assert reader.receive_batch(["a"], 1, 0.1) == []
        reader.unblock()
        began = time.monotonic()
        assert reader.receive_batch(["a"], 1, PATIENCE_SECONDS) == []
        with Threads() as threads:
            threads.start(reader.receive_batch, ["a"], 1, PATIENCE_SECONDS)
            wait_until(time.monotonic() + SETTLE_SECONDS)
            reader.unblock()
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        reader.close()

    def test_a_reader_takes_no_more_of_a_channel_than_its_limit(self, layer: Layer) -> None:
        """A worker limits the messages of a channel that are in progress."""
        self.needs("unblock")
        reader = layer.reader()
        send_all(layer, "a", range(5))
        send_all(layer, "b", range(5))
        received = [channel for channel, _ in reader.receive_batch(["a", "b"], 10, 0, {"a": 2})]
        assert (received.count("a"), received.count("b")) == (2, 5)
        assert len(drain(layer, "a", "b")) == 3
        reader.close()
