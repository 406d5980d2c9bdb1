"""Many reader processes on one channel."""

from __future__ import annotations

import collections
import contextlib

import pytest

from tests.support.delivery.queues import queued
from tests.support.delivery.reader import start_reader
from tests.support.waiting import eventually


class TestManyReaders:
    """Six processes read what this one sends."""

    TOTAL = 2_500

    def read_all(self, layer_for, servers, prefix):
        settings = {"hosts": [server.url for server in servers], "prefix": prefix, "capacity": self.TOTAL + 6}
        layer = layer_for(*servers, capacity=settings["capacity"])
        with contextlib.ExitStack() as stack:
            readers = []
            for how in ("poll", "block", "batch") * 2:
                readers.append(stack.enter_context(start_reader(how, "work", **settings)))
                stack.callback(readers[-1].kill)
            for number in range(self.TOTAL):
                layer.send("work", {"number": number})
            eventually(lambda: queued(servers, prefix, "work") == 0, timeout=40, interval=0.05)
            for _ in readers:
                layer.send("work", {"stop": True})
            outputs = [reader.communicate(timeout=20)[0].split() for reader in readers]
        assert [reader.returncode for reader in readers] == [0] * len(readers)
        return [[int(number) for number in output] for output in outputs]

    def assert_each_once(self, outputs):
        counts = collections.Counter(number for output in outputs for number in output)
        assert [number for number, times in counts.items() if times > 1] == [], "received twice"
        assert set(range(self.TOTAL)) - set(counts) == set(), "lost"

    @pytest.mark.soak
    def test_on_one_redis_none_is_lost_and_none_comes_twice(self, layer_for, redis_server, prefix):
        outputs = self.read_all(layer_for, [redis_server], prefix)
        self.assert_each_once(outputs)
        assert all(output == sorted(output) for output in outputs), "out of order"

    def test_on_three_shards_none_is_lost_and_none_comes_twice(self, layer_for, three_redis_servers, prefix):
        self.assert_each_once(self.read_all(layer_for, three_redis_servers, prefix))
