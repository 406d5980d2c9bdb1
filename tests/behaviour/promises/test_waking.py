"""A blocking receive waits on all shards at once, and loses nothing that way."""

from __future__ import annotations

import statistics
import threading
import time

import redis

from tests.support.reading import until_received
from tests.support.threads import in_threads
from tests.support.waiting import eventually


class TestWakingUp:
    """A blocking receive waits on all shards at once."""

    def test_a_message_on_any_shard_wakes_it_at_once(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers)
        delays = []
        for number in range(15):
            server = three_redis_servers[number % 3]
            sender = layer_for(server)
            sender.receive(["idle"])  # connects
            woken = []

            def receive(woken=woken):
                woken.append((until_received(layer, ["work", "idle"]), time.perf_counter()))

            thread = threading.Thread(target=receive)
            thread.start()
            eventually(lambda: all(blocked(each) for each in three_redis_servers))
            sent = time.perf_counter()
            sender.send("work", {"number": number})
            thread.join(20)
            received, at = woken[0]
            assert received == ("work", {"number": number})
            delays.append(at - sent)
        # 5 ms is the aim; what is refused here is waiting on one shard after the other.
        assert statistics.median(delays) < 0.25, delays

    def test_two_messages_that_arrive_on_two_shards_at_once_are_both_received(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers)
        senders = [layer_for(server) for server in three_redis_servers[:2]]
        received, stopping = [], threading.Event()

        def receive():
            while not stopping.is_set():
                _, message = layer.receive(["work"], block=True)
                if message is not None:
                    received.append(message["number"])

        reader = threading.Thread(target=receive)
        reader.start()
        try:
            for number in range(0, 200, 2):
                barrier = threading.Barrier(2)

                def send(sender, number, barrier=barrier):
                    barrier.wait(10)
                    sender.send("work", {"number": number})

                in_threads(lambda part, number=number: send(senders[part], number + part), range(2))
                eventually(lambda number=number: len(received) >= number + 2, timeout=8)
        finally:
            stopping.set()
            layer.send("work", {"number": -1})
            reader.join(20)
        assert sorted(number for number in received if number >= 0) == list(range(200))

    def test_a_hundred_messages_on_three_shards_reach_eight_blocked_readers_once_each(
        self, layer_for, three_redis_servers
    ):
        layer = layer_for(*three_redis_servers)
        received, lock = [], threading.Lock()

        def receive(_):
            while True:
                _, message = layer.receive(["work"], block=True)
                with lock:
                    if message is not None:
                        received.append(message["number"])
                    if len([number for number in received if number < 100]) == 100:
                        return

        threads = [threading.Thread(target=receive, args=(part,)) for part in range(8)]
        for thread in threads:
            thread.start()
        for number in range(100):
            layer.send("work", {"number": number})
        eventually(lambda: len(received) >= 100, timeout=20)
        for number in range(100, 108):  # lets go those that are still waiting
            layer.send("work", {"number": number})
        for thread in threads:
            thread.join(20)
        assert sorted(number for number in received if number < 100) == list(range(100))

    def test_with_nothing_to_read_it_returns_nothing_after_its_timeout(self, layer_for, redis_server):
        layer = layer_for(redis_server)
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert 4.5 < time.monotonic() - started < 9.5

    def test_what_is_kept_for_nobody_keeps_nobody_awake(self, layer_for, fresh_redis_server):
        """A message for two channels of this process of which one is read: the other one's copy waits in it."""
        layer = layer_for(fresh_redis_server)
        for channel in ("own!a", "own!b"):
            layer.group_add("g", channel)
        layer.send_group("g", {})
        assert layer.receive(["own!"])[1] == {}

        def commands():
            with redis.Redis.from_url(fresh_redis_server.unix_url, protocol=2) as client:
                return client.info("stats")["total_commands_processed"]

        before = commands()
        in_threads(lambda number: layer.receive_batch([f"idle{number}"], 10, 1), range(2))
        assert commands() - before < 50


def blocked(server):
    with redis.Redis.from_url(server.unix_url, protocol=2) as client:
        return client.info("clients")["blocked_clients"]
