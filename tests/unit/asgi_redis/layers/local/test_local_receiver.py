"""Receiving from this machine and from Redis at once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from asgi_redis import ChannelFull
from tests.support.threads import in_threads
from tests.support.waiting import eventually
from workers import Worker

MIXED = ["normal", "mine!", "single?reader"]


@contextlib.contextmanager
def later(call, *arguments, delay=0.2):
    """Does the call while the test waits for what it does."""
    timer = threading.Timer(delay, call, arguments)
    timer.start()
    try:
        yield
    finally:
        timer.join()


class TestWaiting:
    @pytest.mark.parametrize("shards", [1, 3])
    @pytest.mark.parametrize("limit", [1, 5])
    @pytest.mark.parametrize("channel", ["normal", "mine!1", "single?reader"])
    def test_a_wait_for_both_is_ended_by_a_message_of_either(
        self, local_layer_for, redis_server, three_redis_servers, shards, limit, channel
    ):
        servers = three_redis_servers if shards == 3 else [redis_server]
        layer = local_layer_for(hosts=[server.url for server in servers])
        before = time.monotonic()
        with later(layer.send, channel, {"n": 1}):
            assert layer.receive_batch(MIXED, limit, 5) == [(channel, {"n": 1})]
        assert 0.2 <= time.monotonic() - before < 4

    def test_the_time_is_kept_where_nothing_comes(self, layer):
        for channels, seconds in ((MIXED, 0.2), (["normal"], 0.2), (["normal"], 1)):
            before = time.monotonic()
            assert layer.receive_batch(channels, 3, seconds) == []
            assert -0.01 < time.monotonic() - before - seconds < 4

    def test_a_message_of_another_process_is_noticed(self, local_layer_for, base, prefix):
        layer = local_layer_for()
        program = "import sys, time; from asgi_redis import *; IPCChannelLayer(path=sys.argv[1], prefix=sys.argv[2])"
        program += ".send('normal', {'sent': time.monotonic()})"
        with later(subprocess.run, [sys.executable, "-c", program, base, prefix]):
            ((channel, message),) = layer.receive_batch(MIXED, 1, 20)
            assert channel == "normal"
            assert time.monotonic() - message["sent"] < 10

    def test_what_comes_between_looking_and_listening_is_noticed(self, layer, monkeypatch):
        listen = layer._local.store.listen

        def listen_late(queues):
            layer.send("normal", {"n": 1})
            return listen(queues)

        monkeypatch.setattr(layer._local.store, "listen", listen_late)
        before = time.monotonic()
        assert layer.receive_batch(MIXED, 1, 5) == [("normal", {"n": 1})]
        assert time.monotonic() - before < 4

    def test_who_was_woken_for_a_message_that_another_took_waits_on_without_looking_all_the_time(
        self, layer, monkeypatch
    ):
        pop, looks, received = layer._local.store.pop, [], []

        def counted(*arguments):
            looks.append(arguments)
            return pop(*arguments)

        monkeypatch.setattr(layer._local.store, "pop", counted)
        with later(layer.send, "normal", {"n": 1}):
            in_threads(lambda _: received.append(layer.receive_batch(MIXED, 1, 0.6)), range(2))
        assert sorted(received) == [[], [("normal", {"n": 1})]]
        assert len(looks) < 20

    def test_unblock_ends_each_wait(self, layer):
        for channels in (MIXED, ["normal"], ["mine!"]):
            with later(layer.unblock):
                before = time.monotonic()
                assert layer.receive_batch(channels, 1, 5) == []
            assert time.monotonic() - before < 4

    def test_what_nobody_took_is_for_one_who_waits(self, layer):
        for channel in ("normal", "mine!1"):
            with later(layer._receiver.buffer, channel, {"n": 1}):
                before = time.monotonic()
                assert layer.receive_batch(MIXED, 1, 5) == [(channel, {"n": 1})]
            assert time.monotonic() - before < 4

    def test_waiting_leaves_nothing_open(self, layer):
        def wait():
            layer.receive_batch(MIXED, 2, 0.01)
            return len(list(Path("/dev/fd").iterdir()))

        # What is kept for later comes when it is needed, on a busy machine not at the first time.
        before = max(wait() for _ in range(20))
        for _ in range(20):
            wait()
        # What other threads have open for a moment does not stay.
        eventually(lambda: wait() <= before)

    def test_many_readers_and_senders_lose_and_double_nothing(self, layer):
        """All readers wait for both sides at once, and messages come on both in the same moments."""
        numbers, received, done = range(150), [], threading.Event()

        def work(role):
            if role == "reader":
                while not done.is_set():
                    received.extend((channel, content["n"]) for channel, content in layer.receive_batch(MIXED, 2, 1))
                    if len(received) >= 2 * len(numbers):
                        done.set()
            else:
                for number in numbers:
                    with contextlib.suppress(ChannelFull):
                        layer.send(role, {"n": number})
                        continue
                    eventually(lambda: layer.send(role, {"n": number}) or True)  # noqa: B023

        in_threads(work, ["reader"] * 4 + ["normal", "mine!1"])
        assert layer.receive_batch(MIXED, 100) == []
        assert sorted(received) == sorted((channel, n) for channel in ("normal", "mine!1") for n in numbers)


class TestFairness:
    @pytest.mark.parametrize("limit", [1, 4])
    @pytest.mark.parametrize("timeout", [0, 1])
    def test_neither_side_starves_the_other(self, layer, limit, timeout):
        for number in range(40):
            layer.send("normal", {"n": number})
            layer.send("mine!1", {"n": number})
        received = [layer.receive_batch(MIXED, limit, timeout)[0][0] for _ in range(40 // limit)]
        assert received.count("normal") == received.count("mine!1")

    def test_nor_when_different_channels_are_read_in_turn(self, layer):
        """Each set of channels takes turns of its own."""
        for number in range(10):
            for channel in ("a", "a!1", "b", "b!1"):
                layer.send(channel, {"n": number})
        received = [layer.receive([name, f"{name}!"])[0] for _ in range(10) for name in "ab"]
        assert [received.count(channel) for channel in ("a", "a!1", "b", "b!1")] == [5, 5, 5, 5]


class TestWithoutRedis:
    def test_the_local_messages_are_handed_out_before_the_error(self, local_layer_for, fresh_redis_server):
        layer = local_layer_for(hosts=[fresh_redis_server.url])
        layer.receive_batch(MIXED, 1)
        fresh_redis_server.kill()
        for number in range(6):
            layer.send("normal", {"n": number})
        assert [layer.receive_batch(MIXED, 1, 1)[0][1]["n"] for _ in range(6)] == list(range(6))
        with pytest.raises(redis.exceptions.ConnectionError, match=r"refused|closed"):
            layer.receive_batch(MIXED, 1, 1)

    def test_a_worker_goes_on_with_local_messages_and_with_the_others_when_redis_is_back(
        self, local_layer_for, fresh_redis_server, caplog
    ):
        layer = local_layer_for(hosts=[fresh_redis_server.url])
        ran = []

        def consumer(message):
            ran.append((message.channel.name, message["n"]))

        worker = Worker(layer, {"normal": consumer, "single?reader": consumer})
        worker.start()
        try:
            layer.send("single?reader", {"n": 0})
            eventually(lambda: ran == [("single?reader", 0)])
            fresh_redis_server.kill()
            eventually(lambda: "does not serve messages" in caplog.text)
            for number in range(20):
                before = time.monotonic()
                layer.send("normal", {"n": number})
                eventually(lambda: ran[-1] == ("normal", number))  # noqa: B023
                assert time.monotonic() - before < 4
            fresh_redis_server.start()
            eventually(lambda: layer.send("single?reader", {"n": 1}) or True)
            eventually(lambda: ran[-1] == ("single?reader", 1))
            layer.send("normal", {"n": 20})
            eventually(lambda: ran[-1] == ("normal", 20))
        finally:
            worker.quiet()
            assert worker.stop(time.monotonic() + 10)
        assert len(ran) == 23
        lines = [record.getMessage() for record in caplog.records if "serve" in record.getMessage()]
        assert len(lines) == 2
        assert str(fresh_redis_server.port) in lines[0]


class TestWithoutTheLocalLayer:
    @pytest.mark.parametrize("channels", [MIXED, ["normal"]])
    def test_a_reader_goes_on_with_redis_and_takes_it_in_again(self, local_layer_for, base, caplog, channels):
        layer = local_layer_for()
        layer.close()  # what it has open would stay usable
        directory = layer._local.path
        directory.mkdir()
        directory.chmod(0o755)  # which others could look into, so it is refused
        reader = layer.reader()
        assert reader.receive_batch(channels, 1) == []
        before = time.monotonic()
        assert reader.receive_batch(channels, 1, 0.3) == []
        assert time.monotonic() - before < 4
        layer.send("mine!1", {"n": 1})
        if channels is MIXED:
            assert reader.receive_batch(channels, 1, 5) == [("mine!1", {"n": 1})]
        directory.chmod(0o700)
        layer.send("normal", {"n": 2})
        received = []
        eventually(lambda: received.extend(reader.receive_batch(channels, 1, 5)) or received)
        assert received == [("normal", {"n": 2})]
        assert reader.serving
        reader.close()
        lines = [record.getMessage() for record in caplog.records if "serve" in record.getMessage()]
        assert len(lines) == 2
        assert "IPCChannelLayer" in lines[0]

    def test_receive_raises_what_is_wrong_and_loses_nothing(self, local_layer_for):
        layer = local_layer_for()
        layer.close()
        layer._local.path.mkdir()
        layer._local.path.chmod(0o755)
        layer.send("mine!1", {"n": 1})
        received = []

        def receive():
            received.append(layer.receive_batch(MIXED, 1, 1))
            return received

        eventually(receive)
        assert received == [[("mine!1", {"n": 1})]]
        with pytest.raises(Exception, match="open to other users"):
            layer.receive_batch(MIXED, 1, 1)


class TestReader:
    @pytest.mark.parametrize("channels", [MIXED, ["normal"]])
    def test_unblock_ends_a_wait_or_the_next_one(self, layer, channels):
        reader = layer.reader()
        assert not reader.serving
        reader.receive_batch(channels, 1)
        assert reader.serving
        with later(reader.unblock):
            before = time.monotonic()
            assert reader.receive_batch(channels, 1, 5) == []
        reader.unblock()
        assert reader.receive_batch(channels, 1, 5) == []
        assert time.monotonic() - before < 4
        reader.receive_batch(channels, 1, 0.2)
        assert time.monotonic() - before > 0.35  # it has ended one wait, not all
        reader.close()

    def test_no_more_are_taken_from_a_channel_than_said(self, layer):
        for number in range(5):
            layer.send("normal", {"n": number})
            layer.send("mine!1", {"n": number})
        reader = layer.reader()
        received = []
        for _ in range(2):
            received += [name for name, _ in reader.receive_batch(MIXED, 10, limits={"normal": 2, "mine!": 3})]
        assert sorted(received) == ["mine!1"] * 3 + ["normal"] * 2
