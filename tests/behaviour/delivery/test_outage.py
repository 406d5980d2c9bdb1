"""Redis forgets, restarts, dies or hangs, and comes back."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import redis

from tests.support.delivery.queues import drain
from tests.support.proxy import Proxy
from tests.support.servers import pause, resume
from tests.support.waiting import eventually

Broken = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


class TestRedisForgets:
    def test_script_flush_between_calls_is_not_noticed(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server.url)
        with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:

            def flushed():
                client.script_flush()
                return layer

            for _ in range(2):
                flushed().group_add("chat", "work")
                flushed().send("work", {"number": 1})
                assert flushed().receive(["work"]) == ("work", {"number": 1})
                assert flushed().send_group("chat", {"number": 2}) == 0
                assert flushed().receive(["work"], block=True) == ("work", {"number": 2})
                flushed().send("work", {"number": 3})
                assert flushed().receive_batch(["work"], 5) == [("work", {"number": 3})]
                flushed().group_discard("chat", "work")
                flushed().channel_statistics("work")
                flushed().global_statistics()

    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_a_restart_costs_at_most_one_failed_call(self, layer_for, fresh_redis_server, end):
        layer = layer_for(fresh_redis_server.url)
        layer.send("work", {"number": 0})
        getattr(fresh_redis_server, end)()
        with pytest.raises(redis.exceptions.ConnectionError):
            layer.send("work", {"number": 1})
        fresh_redis_server.start()
        with contextlib.suppress(redis.exceptions.ConnectionError):
            layer.send("work", {"number": 2})
        layer.send("work", {"number": 3})
        numbers = drain(layer, "work")
        assert numbers in ([3], [2, 3])

    def test_client_kill_costs_at_most_one_failed_call(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server.url)
        with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
            for number in range(10):
                client.client_kill_filter(_type="normal", skipme=True)
                with contextlib.suppress(redis.exceptions.ConnectionError):
                    layer.send("work", {"number": number})
                layer.send("work", {"number": number + 100})
        numbers = drain(layer, "work")
        assert len(numbers) == len(set(numbers))
        assert set(range(100, 110)) <= set(numbers)


class Traffic:
    """Two senders and two blocking readers in threads, which go on after every connection error."""

    def __init__(self, layer):
        self.layer = layer
        self.stopping = threading.Event()
        self.acknowledged: list[int] = []
        self.received: list[int] = []
        self.unexpected: list[BaseException] = []
        self.errors = 0
        self._threads = [
            *(threading.Thread(target=self._guarded, args=(self._send, part)) for part in range(2)),
            *(threading.Thread(target=self._guarded, args=(self._receive, part)) for part in range(2)),
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stopping.set()
        for number in (-1, -2):  # each of them lets one reader go that would wait until its time is up
            with contextlib.suppress(*Broken):
                self.layer.send("work", {"number": number})
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a thread hangs"
        assert self.unexpected == []

    def _guarded(self, work, part):
        while not self.stopping.is_set():
            try:
                work(part)
            except Broken:
                self.errors += 1
                time.sleep(0.01)
            except Exception as error:  # noqa: BLE001  shown by __exit__
                self.unexpected.append(error)
                return

    def _send(self, part):
        numbers = self.__dict__.setdefault(f"numbers_{part}", iter(range(part, 10**9, 2)))
        number = next(numbers)
        try:
            self.layer.send("work", {"number": number})
        except self.layer.ChannelFull:
            return
        self.acknowledged.append(number)
        time.sleep(0.001)

    def _receive(self, part):
        _, message = self.layer.receive(["work", "idle"], block=True)
        if message is not None:
            self.received.append(message["number"])

    def flows(self):
        """Whether a message that is sent from now on arrives."""
        sent, received = len(self.acknowledged), len(self.received)
        eventually(lambda: len(self.acknowledged) > sent + 5, timeout=20)
        eventually(lambda: len(self.received) > received + 5, timeout=20)


class TestRedisDies:
    def test_kill_9_amid_blocking_receives_and_sends_is_recovered_from(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server.url, capacity=10_000)
        with Traffic(layer) as traffic:
            traffic.flows()
            for _ in range(3):
                fresh_redis_server.kill()
                errors = traffic.errors
                eventually(lambda errors=errors: traffic.errors > errors)
                fresh_redis_server.start()
                traffic.flows()
        rest = drain(layer, "work")
        received = traffic.received + rest
        assert len(received) == len(set(received)), "received twice"

    def test_killing_one_of_three_shards_leaves_the_layer_usable_after_its_return(
        self, layer_for, three_fresh_redis_servers
    ):
        layer = layer_for(*[server.url for server in three_fresh_redis_servers], capacity=10_000)
        with Traffic(layer) as traffic:
            traffic.flows()
            three_fresh_redis_servers[1].kill()
            eventually(lambda: traffic.errors > 0)
            three_fresh_redis_servers[1].start()
            traffic.flows()
        received = traffic.received + drain(layer, "work")
        assert len(received) == len(set(received)), "received twice"

    def test_client_kill_amid_blocking_receives_and_sends_is_recovered_from(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server.url, capacity=10_000)
        with Traffic(layer) as traffic, redis.Redis.from_url(fresh_redis_server.unix_url, protocol=2) as client:
            for _ in range(5):
                traffic.flows()
                client.client_kill_filter(_type="normal", skipme=True)
            traffic.flows()
        received = traffic.received + drain(layer, "work")
        assert len(received) == len(set(received)), "received twice"
        lost = set(traffic.acknowledged) - set(received)
        assert len(lost) <= 5 * 2, "more than the two that were on their way to the readers each time"


class TestRedisHangs:
    """
    The process is stopped: it accepts connections and bytes, and answers nothing.

    redis-py 7.0, the newest for Python 3.9, with hiredis makes a ConnectionError of the timeout.
    """

    def test_send_raises_within_the_socket_timeout_and_is_not_repeated(self, layer_for, fresh_redis_server):
        layer = layer_for({"address": fresh_redis_server.url, "socket_timeout": 0.5})
        layer.send("work", {"number": 0})
        pause(fresh_redis_server)
        try:
            started = time.monotonic()
            with pytest.raises(Broken):
                layer.send("work", {"number": 1})
            took = time.monotonic() - started
        finally:
            resume(fresh_redis_server)
        assert 0.4 < took < 10
        layer.send("work", {"number": 2})
        assert drain(layer, "work") == [0, 1, 2]

    def test_a_late_reply_is_never_taken_for_that_of_the_next_call(self, layer_for, fresh_redis_server):
        layer = layer_for({"address": fresh_redis_server.url, "socket_timeout": 0.3})
        for number in range(3):
            layer.send("work", {"number": number})
        pause(fresh_redis_server)
        try:
            with pytest.raises(Broken):
                layer.receive(["work"])
        finally:
            resume(fresh_redis_server)
        layer.send("other", {"number": 7})
        assert layer.receive(["other"]) == ("other", {"number": 7})
        # Redis answered the receive that nobody waited for any more: that message is lost, and only that one.
        assert drain(layer, "work") in ([1, 2], [0, 1, 2])

    def test_swallowed_replies_raise_and_nothing_is_sent_twice(self, layer_for, redis_server):
        with Proxy((redis_server.host, redis_server.port)) as proxy:
            layer = layer_for({"address": proxy.url, "socket_timeout": 0.3})
            layer.send("work", {"number": 0})
            proxy.swallow = True
            with pytest.raises(Broken):
                layer.send("work", {"number": 1})
            proxy.swallow = False
            layer.send("work", {"number": 2})
            assert drain(layer, "work") == [0, 1, 2]
