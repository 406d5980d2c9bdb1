"""The connection breaks, at the worst of moments; nothing is sent or received twice."""

from __future__ import annotations

import contextlib

import pytest
import redis

from tests.support.delivery.queues import drain


class TestLineCut:
    """The connection breaks at the worst moment: Redis has the request, the client has no reply."""

    def test_a_send_that_redis_has_seen_raises_and_is_not_sent_again(self, layer_for, proxy, redis_server):
        layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
        layer.send("work", {"number": 0})
        proxy.cut_on(b"EVAL")
        with pytest.raises(redis.exceptions.ConnectionError):
            layer.send("work", {"number": 1})
        assert proxy.cuts == 1
        layer.send("work", {"number": 2})
        assert drain(direct, "work") == [0, 1, 2]

    def test_a_send_that_redis_has_not_seen_raises_and_is_not_sent_again(self, layer_for, proxy, redis_server):
        layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
        layer.send("work", {"number": 0})
        proxy.cut_on(b"EVAL", forward=False)
        with pytest.raises(redis.exceptions.ConnectionError):
            layer.send("work", {"number": 1})
        assert proxy.cuts == 1
        layer.send("work", {"number": 2})
        assert drain(direct, "work") == [0, 2]

    def test_every_second_reply_lost_and_still_nothing_twice(self, layer_for, proxy, redis_server):
        layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
        acknowledged = []
        layer.send("work", {"number": -1})
        for number in range(50):
            if number % 2:
                proxy.cut_on(b"EVAL")
            try:
                layer.send("work", {"number": number})
            except redis.exceptions.ConnectionError:
                continue
            acknowledged.append(number)
        received = drain(direct, "work")
        assert len(received) == len(set(received)), "sent twice"
        assert set(acknowledged) <= set(received), "an acknowledged message is lost"
        assert acknowledged == list(range(0, 50, 2))

    def test_a_group_send_cut_off_reaches_nobody_twice(self, layer_for, proxy, redis_server):
        layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
        for member in range(5):
            layer.group_add("chat", f"member.{member}")
        layer.send_group("chat", {"number": 0})
        for number, forward in ((1, True), (2, False)):
            proxy.cut_on(b"number", forward=forward)  # the request for the members comes before, and has none
            with pytest.raises(redis.exceptions.ConnectionError):
                layer.send_group("chat", {"number": number})
        assert proxy.cuts == 2
        layer.send_group("chat", {"number": 3})
        for member in range(5):
            assert drain(direct, f"member.{member}") == [0, 1, 3]

    @pytest.mark.parametrize("block", [False, True])
    def test_a_receive_cut_off_loses_at_most_its_message_and_repeats_none(
        self, layer_for, proxy, redis_server, block
    ):
        layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
        for number in range(10):
            direct.send("work", {"number": number})
        received = [layer.receive(["work"], block=block)[1]["number"]]
        proxy.cut_on()
        with contextlib.suppress(redis.exceptions.ConnectionError):
            received.append(layer.receive(["work"], block=block)[1]["number"])
        received += drain(layer, "work")
        assert received == sorted(set(received)), "out of order, or twice"
        assert len(received) >= 9

    def test_a_line_cut_while_nothing_is_asked_costs_no_message(self, layer_for, proxy, redis_server):
        layer, direct = layer_for(proxy.url), layer_for(redis_server.url)
        layer.send("work", {"number": 0})
        proxy.cut()
        sent = [0]
        for number in (1, 2):
            try:
                layer.send("work", {"number": number})
            except redis.exceptions.ConnectionError:
                assert number == 1, "not even the second call after the cut"
            else:
                sent.append(number)
        received = drain(direct, "work")
        assert received == sorted(set(received))
        assert set(sent) <= set(received)

    def test_a_slow_line_is_only_slow(self, layer_for, proxy):
        layer = layer_for(proxy.url)
        proxy.delay = 0.2
        layer.send("work", {"number": 1})
        assert layer.receive(["work"]) == ("work", {"number": 1})

    def test_an_unreachable_redis_raises_a_connection_error(self, layer_for):
        layer = layer_for("redis://127.0.0.1:1/0")
        with pytest.raises(redis.exceptions.ConnectionError):
            layer.send("work", {})
        with pytest.raises(redis.exceptions.ConnectionError):
            layer.receive(["work"])
