"""Pub/sub over a cluster whose slots move and nodes fail: everything is subscribed again, and nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from redis.exceptions import ConnectionError, RedisError

from asgi_redis import RedisPubSubChannelLayer
from asgi_redis.aio import RedisPubSubChannelLayer as AsyncPubSubLayer
from tests.support.clusters import needs_redis_cli, of_redis_in_the_suite, slot_of
from tests.support.pubsub.loops import run
from tests.support.pubsub.nodes import all_listening, kill_listeners, listeners, listening, other_master
from tests.support.pubsub.subscribers import DISCONNECT, NOTICES, RECONNECT, outages
from tests.support.waiting import eventually


@pytest.fixture
def pubsub_layer(prefix):
    """``pubsub_layer(cluster, **settings)`` makes a layer under ``prefix``, closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(cluster, **settings):
            settings = {"hosts": cluster.urls, "cluster": True, "prefix": prefix, "capacity": 100_000, **settings}
            layer = stack.enter_context(RedisPubSubChannelLayer(**settings))
            layer.block_timeout = 20  # what is to come may take long on a busy machine
            return layer

        yield make


@pytest.fixture
def rare_checks(monkeypatch):
    """What nodes say has to do: no look at them comes in time."""
    monkeypatch.setattr("asgi_redis.engine.pubsub.listener._CHECK_SECONDS", 60)


@pytest.fixture
def quick_checks(monkeypatch):
    monkeypatch.setattr("asgi_redis.engine.pubsub.listener._CHECK_SECONDS", 0.5)


def names_of(layer, prefix, channels):
    return {*channels, *(f"{prefix}__group__{group}" for group in layer.subscriptions.groups)}


def numbers(layer, channel):
    """Returns the numbers in the messages that are there."""
    return [message["n"] for _, message in layer.receive_batch([channel], 100_000) if "n" in message]


class Publisher(threading.Thread):
    """Sends numbers to a channel until it is stopped; ``sent`` are those whose send has returned."""

    def __init__(self, layer, channel):
        super().__init__()
        self.sent = []
        self.errors = []
        self._layer = layer
        self._channel = channel
        self._stopped = threading.Event()

    def run(self):
        number = 0
        while not self._stopped.wait(0.0005):
            try:
                self._layer.send(self._channel, {"n": number})
                self.sent.append(number)
            except RedisError as error:
                self.errors.append(error)
            number += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._stopped.set()
        self.join()


def move(cluster, name, to, is_atomic=False):
    if is_atomic:
        if not cluster.can_move_atomically():
            pytest.skip("the server cannot move a slot atomically")
        cluster.move_slot_atomically(slot_of(name), to)
    else:
        cluster.move_slot(slot_of(name), to)


class TestMoves:
    @pytest.mark.parametrize("is_atomic", [False, True], ids=["by keys", "atomic"])
    def test_a_channel_and_a_group_go_with_their_slots(self, masters, pubsub_layer, prefix, rare_checks, is_atomic):
        layer, other = pubsub_layer(masters, **NOTICES), pubsub_layer(masters)
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        names = {channel, f"{prefix}__group__chat"}
        for number in range(3):
            for name in names:
                move(masters, name, other_master(masters, name), is_atomic)
            eventually(lambda: all_listening(masters, prefix) == names)
            other.send(channel, {"n": number})
            assert layer.receive([channel], block=True) == (channel, {"n": number})
            other.send_group("chat", {"n": number})
            assert layer.receive([channel], block=True) == (channel, {"n": number})  # and no notices of an outage

    def test_nothing_is_doubled_and_all_is_in_order_while_a_slot_moves(self, masters, pubsub_layer):
        layer, other = pubsub_layer(masters), pubsub_layer(masters)
        channel = layer.new_channel()
        received = []
        with Publisher(other, channel) as publisher:
            for _ in range(10):
                move(masters, channel, other_master(masters, channel))
                count = len(received)

                def goes_on(count=count):
                    received.extend(numbers(layer, channel))
                    return len(received) > count + 20

                eventually(goes_on)
        eventually(lambda: received.extend(numbers(layer, channel)) or publisher.sent[-1] in received)
        assert publisher.errors == []
        assert received == sorted(set(received))
        assert set(received) <= set(publisher.sent)
        assert len(received) > len(publisher.sent) / 2

    def test_a_move_costs_other_channels_nothing(self, masters, pubsub_layer, prefix):
        layer, other = pubsub_layer(masters), pubsub_layer(masters)
        moving = layer.new_channel()
        source = masters.master_of(moving)
        staying = layer.new_channel()
        while masters.master_of(staying) is not source or slot_of(staying) == slot_of(moving):
            layer.close_channel(staying)
            staying = layer.new_channel()
        with Publisher(other, staying) as publisher:
            for _ in range(6):
                count = len(publisher.sent)
                move(masters, moving, other_master(masters, moving))
                eventually(lambda count=count: len(publisher.sent) > count)
        received = []
        eventually(lambda: received.extend(numbers(layer, staying)) or len(received) >= len(publisher.sent))
        assert received == publisher.sent

    def test_calls_in_the_middle_of_moves_end_with_the_subscriptions_that_they_made(
        self, masters, pubsub_layer, prefix
    ):
        """Channels come and go while their slots move: none is left behind, none is forgotten."""
        layer = pubsub_layer(masters)
        slots = [f"{prefix}.{number}" for number in range(4)]
        stopped = threading.Event()

        def move_on():
            while not stopped.is_set():
                for name in slots:
                    move(masters, name, other_master(masters, name))

        mover = threading.Thread(target=move_on)
        mover.start()
        try:
            for number in range(300):
                name = slots[number % 4]
                layer.receive([name])
                if number % 3:
                    layer.close_channel(name)
        finally:
            stopped.set()
            mover.join()
        for name in slots[:2]:
            layer.receive([name])
        for name in slots[2:]:
            layer.close_channel(name)
        eventually(lambda: all_listening(masters, prefix) == set(slots[:2]))
        for name in slots[:2]:
            layer.send(name, {"name": name})
            assert layer.receive([name], block=True) == (name, {"name": name})

    def test_a_process_that_only_sends_finds_the_slot(self, masters, pubsub_layer, prefix, rare_checks):
        layer, other = pubsub_layer(masters), pubsub_layer(masters)
        channel = layer.new_channel()
        other.send(channel, {"n": 0})
        move(masters, channel, other_master(masters, channel))
        eventually(lambda: channel in all_listening(masters, prefix))
        other.send(channel, {"n": 1})
        eventually(lambda: len(layer.subscriptions.inboxes[channel].messages) == 2)
        assert numbers(layer, channel) == [0, 1]

    def test_a_slot_in_the_middle_of_a_move_is_used_as_ever(self, masters, pubsub_layer):
        layer = pubsub_layer(masters)
        channel = layer.new_channel()
        masters.begin_move(slot_of(channel), other_master(masters, channel))
        try:
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})
        finally:
            masters.end_move(slot_of(channel))

    def test_a_node_that_is_added_and_emptied_again(self, three_masters, pubsub_layer, prefix, quick_checks):
        layer = pubsub_layer(three_masters)
        channels = [layer.new_channel() for _ in range(6)]
        added = three_masters.add_node()
        move(three_masters, f"{prefix}.other", added)  # a master without a slot becomes a replica
        old = {channel: three_masters.master_of(channel) for channel in channels}
        for channel in channels:
            move(three_masters, channel, added)
        eventually(lambda: listening(three_masters, prefix, added) == set(channels))
        assert listeners(three_masters, added) == 1
        for channel in channels:
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})
        for channel, node in old.items():
            move(three_masters, channel, node)
        eventually(lambda: all_listening(three_masters, prefix) == set(channels))
        eventually(lambda: listeners(three_masters, added) == 0)
        for channel in channels:
            layer.send(channel, {"n": 2})
            assert layer.receive([channel], block=True) == (channel, {"n": 2})

    @needs_redis_cli
    @pytest.mark.soak
    def test_all_slots_of_a_node_are_moved_away(self, three_masters, pubsub_layer, prefix, rare_checks):
        layer, other = pubsub_layer(three_masters), pubsub_layer(three_masters)
        channels = [layer.new_channel() for _ in range(60)]
        for number, channel in enumerate(channels):
            layer.group_add(f"chat.{number % 10}", channel)
        names = names_of(layer, prefix, channels)
        three_masters.rebalance({three_masters.nodes[0]: 0})
        eventually(lambda: all_listening(three_masters, prefix) == names)
        assert listening(three_masters, prefix, three_masters.nodes[0]) == set()
        for number, channel in enumerate(channels):
            other.send(channel, {"n": number})
            assert layer.receive([channel], block=True) == (channel, {"n": number})
        for number in range(10):
            other.send_group(f"chat.{number}", {"n": number})
        for number, channel in enumerate(channels):
            assert layer.receive([channel], block=True) == (channel, {"n": number % 10})


@of_redis_in_the_suite
class TestFailures:
    def test_kill_9_of_a_node(self, fresh_cluster, pubsub_layer, prefix, caplog):
        """When the replica has taken over, all is there again, and each channel had its two notices."""
        layer, other = pubsub_layer(fresh_cluster, **NOTICES), pubsub_layer(fresh_cluster)
        channels = [layer.new_channel() for _ in range(30)]
        for number, channel in enumerate(channels):
            layer.group_add(f"chat.{number % 10}", channel)
        names = names_of(layer, prefix, channels)
        killed = fresh_cluster.master_of(channels[0])
        (heir,) = fresh_cluster.replicas_of(killed)
        fresh_cluster.kill(killed)
        for channel in channels:
            assert layer.receive([channel], block=True) == (channel, DISCONNECT)
        eventually(lambda: heir in fresh_cluster.masters())
        promoted = time.monotonic()
        for channel in channels:
            assert layer.receive([channel], block=True) == (channel, RECONNECT)
        assert time.monotonic() - promoted < 10
        eventually(lambda: all_listening(fresh_cluster, prefix) == names)
        for number, channel in enumerate(channels):
            other.send(channel, {"n": number})
            assert layer.receive([channel], block=True) == (channel, {"n": number})
        for number in range(10):
            other.send_group(f"chat.{number}", {"n": number})
        for number, channel in enumerate(channels):
            assert layer.receive([channel], block=True) == (channel, {"n": number % 10})
        assert layer.receive(channels) == (None, None)
        assert [listeners(fresh_cluster, node) for node in fresh_cluster.masters()] == [1, 1, 1]
        lines = [line for line in outages(caplog) if f":{killed.port} " in line]
        assert ["does not serve messages" in lines[0], "Other nodes have the slots" in lines[1]] == [True, True]

    def test_a_channel_that_is_new_while_its_node_is_dead_waits(self, fresh_cluster, pubsub_layer, prefix):
        layer = pubsub_layer(fresh_cluster)
        first = layer.new_channel()
        killed = fresh_cluster.master_of(first)
        names = [f"{prefix}.{number}" for number in range(100)]
        name = next(name for name in names if fresh_cluster.master_of(name) is killed)
        fresh_cluster.kill(killed)
        assert layer.receive([name]) == (None, None)
        layer.send(name, {"n": 1})
        assert layer.receive([name], block=True) == (name, {"n": 1})

    def test_a_node_without_a_replica_that_comes_back(self, three_masters, pubsub_layer, prefix):
        layer = pubsub_layer(three_masters, **NOTICES)
        channels = [layer.new_channel() for _ in range(20)]
        node = three_masters.master_of(channels[0])
        three_masters.kill(node)
        for channel in channels:
            assert layer.receive([channel], block=True) == (channel, DISCONNECT)
        node.start()
        for channel in channels:
            assert layer.receive([channel], block=True) == (channel, RECONNECT)
        assert all_listening(three_masters, prefix) == set(channels)
        three_masters.settle()
        for channel in channels:
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_line_that_is_cut_is_an_outage_that_is_over_at_once(self, three_masters, pubsub_layer, prefix):
        layer = pubsub_layer(three_masters, **NOTICES)
        channels = [layer.new_channel() for _ in range(20)]
        kill_listeners(three_masters, three_masters.master_of(channels[0]))
        for channel in channels:
            assert layer.receive([channel], block=True) == (channel, DISCONNECT)
            assert layer.receive([channel], block=True) == (channel, RECONNECT)
        assert all_listening(three_masters, prefix) == set(channels)

    def test_a_node_that_hangs_is_left_when_its_replica_has_taken_over(
        self, fresh_cluster, pubsub_layer, prefix, quick_checks
    ):
        layer = pubsub_layer(fresh_cluster, **NOTICES)
        channels = [layer.new_channel() for _ in range(20)]
        hung = fresh_cluster.master_of(channels[0])
        fresh_cluster.pause(hung)
        try:
            for channel in channels:
                assert layer.receive([channel], block=True) == (channel, DISCONNECT)
                assert layer.receive([channel], block=True) == (channel, RECONNECT)
            # The node that is asked may hear later than the layer who has taken over.
            eventually(lambda: all_listening(fresh_cluster, prefix) == set(channels))
        finally:
            fresh_cluster.resume(hung)
        for channel in channels:
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_planned_failover_leads_to_the_new_master(self, fresh_cluster, pubsub_layer, prefix, quick_checks):
        """The old one, a replica now, would take the subscriptions as well."""
        layer = pubsub_layer(fresh_cluster)
        channels = [layer.new_channel() for _ in range(20)]
        old = fresh_cluster.master_of(channels[0])
        heir = fresh_cluster.failover(old)
        eventually(lambda: all_listening(fresh_cluster, prefix) == set(channels))
        assert channels[0] in listening(fresh_cluster, prefix, heir)
        eventually(lambda: listening(fresh_cluster, prefix, old) == set())
        for channel in channels:
            layer.send(channel, {"n": 1})
            assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_slot_that_no_node_has(self, fresh_single_node_cluster, pubsub_layer, prefix):
        (node,) = fresh_single_node_cluster.nodes
        layer = pubsub_layer(fresh_single_node_cluster, connection_kwargs={"socket_connect_timeout": 1}, **NOTICES)
        channel = layer.new_channel()
        slot = slot_of(channel)
        fresh_single_node_cluster.run(node, "CLUSTER", "DELSLOTS", slot)
        assert layer.receive([channel], block=True) == (channel, DISCONNECT)
        layer.close_channel(channel)
        started = time.monotonic()
        with pytest.raises(RedisError):
            layer.receive([channel])
        assert 0.4 < time.monotonic() - started < 4  # the default is 5
        fresh_single_node_cluster.run(node, "CLUSTER", "ADDSLOTS", slot)
        assert eventually(lambda: layer.receive([channel]) == (None, None))
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_start_nodes_that_are_dead(self, three_masters, pubsub_layer):
        layer = pubsub_layer(three_masters)
        for node in three_masters.nodes:
            three_masters.kill(node)
        for call in (layer.new_channel, lambda: layer.send("work", {})):
            with pytest.raises(ConnectionError):
                call()
        started = time.monotonic()
        layer.close()
        assert time.monotonic() - started < 3


@of_redis_in_the_suite
class TestCoroutines:
    """The asynchronous layer."""

    @pytest.fixture
    def aio_layer(self, prefix):
        layers = []

        def make(cluster, **settings):
            settings = {"cluster": True, "prefix": prefix, "capacity": 100_000, **settings}
            layers.append(AsyncPubSubLayer(cluster.urls, **settings))
            return layers[-1]

        yield make
        for layer in layers:
            asyncio.run(layer.close())

    def test_many_channels_at_once(self, masters, aio_layer):
        layer, other = aio_layer(masters), aio_layer(masters)

        async def main():
            channels = await asyncio.gather(*(layer.new_channel() for _ in range(200)))
            await asyncio.gather(*(layer.group_add("chat", channel) for channel in channels))
            waiting = [asyncio.ensure_future(layer.receive(channel)) for channel in channels]
            await asyncio.gather(*(other.send(channel, {"to": channel}) for channel in channels))
            assert await asyncio.gather(*waiting) == [{"to": channel} for channel in channels]
            await other.group_send("chat", {"n": 1})
            assert await asyncio.gather(*map(layer.receive, channels)) == [{"n": 1}] * 200
            for number in range(50):
                await other.send(channels[0], {"n": number})
            assert [(await layer.receive(channels[0]))["n"] for _ in range(50)] == list(range(50))

        run(main())

    def test_slots_that_move_keep_the_order_and_double_nothing(self, masters, aio_layer, prefix):
        layer, other = aio_layer(masters), aio_layer(masters)
        sent, received = [], []

        async def send(channel, number):
            await other.send(channel, {"n": number})
            sent.append(number)

        async def main():
            channel = await layer.new_channel()
            sending = []
            for _ in range(5):
                moving = asyncio.to_thread(move, masters, channel, other_master(masters, channel))
                moving = asyncio.ensure_future(moving)
                while not moving.done() or len(sending) % 200:
                    sending.append(asyncio.ensure_future(send(channel, len(sending))))
                    await asyncio.sleep(0.0005)
                await moving
            await asyncio.gather(*sending)
            while channel not in await asyncio.to_thread(all_listening, masters, prefix):
                await asyncio.sleep(0.01)
            await other.send(channel, {"n": -1})
            while not received or received[-1] != -1:
                received.append((await layer.receive(channel))["n"])

        run(main())
        received.pop()
        assert received == sorted(set(received))
        assert sorted(sent) == list(range(len(sent)))
        assert len(received) > len(sent) / 2

    def test_kill_9_of_a_node_under_many_sends(self, fresh_cluster, aio_layer, prefix):
        layer = aio_layer(fresh_cluster, **NOTICES)

        async def main():
            channels = await asyncio.gather(*(layer.new_channel() for _ in range(100)))
            killed = await asyncio.to_thread(fresh_cluster.master_of, channels[0])
            fresh_cluster.kill(killed)
            assert await layer.receive(channels[0]) == DISCONNECT
            sends = [layer.send(channel, {"n": 1}) for channel in channels]
            outcomes = await asyncio.gather(*sends, return_exceptions=True)
            # A connection may have died with a request on it; all others have waited for the replica.
            errors = [one for one in outcomes if one is not None]
            assert len(errors) <= 5, errors
            messages = [await layer.receive(channels[0])]
            while messages[-1] != RECONNECT:
                messages.append(await layer.receive(channels[0]))
            await asyncio.gather(*(layer.send(channel, {"n": 2}) for channel in channels))
            for channel in channels:
                while await layer.receive(channel) != {"n": 2}:
                    pass

        run(main())
