"""Many shards on few nodes: what they share is waited for once."""

from __future__ import annotations

import threading
import time

import pytest
from redis.exceptions import ConnectionError

from asgi_redis.connection import Server
from asgi_redis.wire.names import shard_of
from tests.support.clusters import run_cluster, slot_of
from tests.support.waiting import eventually

SHARDS = 30
ONE_AFTER_THE_OTHER_SECONDS = 8  # or more, for the ten shards of a node, of which each is given a second


@pytest.fixture
def nodes():
    """Three masters, of which two go on when one does not."""
    with run_cluster(3, 0, options={"cluster-require-full-coverage": "no"}) as running:
        yield running


@pytest.fixture
def layer(nodes, cluster_layer):
    return cluster_layer(nodes, shards=SHARDS)


def a_node_and_a_channel_elsewhere(nodes, prefix):
    """Returns a node that has several shards, and a channel on another node."""
    places = [nodes.master_of(slot_of(f"{{{prefix}:{number}}}")) for number in range(SHARDS)]
    assert places.count(places[0]) > 4
    names = (f"c{n}!" for n in range(1000))
    return places[0], next(name for name in names if places[shard_of(name.encode(), SHARDS)] != places[0])


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_reader_waits_once_for_a_node_that_hangs(is_connected, nodes, layer, prefix):
    """It has ten shards, each of which is given a second, to answer or to be connected to."""
    hanging, channel = a_node_and_a_channel_elsewhere(nodes, prefix)
    reader = layer.reader()
    layer.send("work", {})
    eventually(lambda: reader.receive_batch(["work", channel], 1, 0.1))  # it has asked all of them
    if not is_connected:
        layer.close()
    nodes.pause(hanging)
    layer.send(channel + "me", {"n": 1})
    started = time.monotonic()
    received = []
    while not received:
        received = reader.receive_batch(["work", channel], 1, 1)
    assert received == [(channel + "me", {"n": 1})]
    assert time.monotonic() - started < ONE_AFTER_THE_OTHER_SECONDS
    nodes.resume(hanging)


def test_a_reader_that_begins_to_wait_connects_once_to_a_node_that_hangs(nodes, layer, prefix):
    reader = layer.reader()
    layer.send("work", {})
    eventually(lambda: reader.receive_batch(["work"], 1, 0.1))
    hanging = nodes.master_of(slot_of(f"{{{prefix}:0}}"))
    nodes.pause(hanging)
    started = time.monotonic()
    assert reader.receive_batch(["work"], 5, 1) == []
    assert time.monotonic() - started < ONE_AFTER_THE_OTHER_SECONDS
    nodes.resume(hanging)


def test_so_does_a_reader_that_has_asked_none_of_them_before(nodes, cluster_layer, prefix):
    """A shard that is used for the first time is asked something: all of those on the node would wait for that."""
    hanging, channel = a_node_and_a_channel_elsewhere(nodes, prefix)
    cluster_layer(nodes, shards=SHARDS).send(channel + "me", {"n": 1})
    reader = cluster_layer(nodes, shards=SHARDS).reader()
    nodes.pause(hanging)
    started = time.monotonic()
    received = reader.receive_batch(["work", channel], 2, 1)  # it asks all of them for the second
    assert received == [(channel + "me", {"n": 1})]
    assert time.monotonic() - started < ONE_AFTER_THE_OTHER_SECONDS
    nodes.resume(hanging)
    reader.close()


def test_a_node_that_hangs_gets_few_connections(nodes, layer, prefix):
    """Each of its shards is tried again by itself, and each attempt may hang for 20 seconds."""
    reader = layer.reader()
    layer.send("work", {})
    eventually(lambda: reader.receive_batch(["work"], 1, 0.1))
    hanging = nodes.master_of(slot_of(f"{{{prefix}:0}}"))
    nodes.pause(hanging)
    paused = time.monotonic()
    while time.monotonic() < paused + 7:
        reader.receive_batch(["work"], 1, 1)
    attempts = sum(thread.name.startswith("connecting to ") for thread in threading.enumerate())
    assert len(reader.absent) >= 4
    # One for each at first, then one a second.
    assert attempts <= len(reader.absent) + 1 + time.monotonic() - paused
    nodes.resume(hanging)


def test_a_call_waits_once_for_a_node_that_is_dead(nodes, cluster_layer):
    layer = cluster_layer(nodes, shards=SHARDS, connection_kwargs={"socket_connect_timeout": 1})
    layer.global_statistics()
    nodes.kill(nodes.nodes[0])
    with pytest.raises(ConnectionError):
        layer.global_statistics()  # its connections have been closed: it may have been carried out
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        layer.global_statistics()
    assert 0.5 < time.monotonic() - started < ONE_AFTER_THE_OTHER_SECONDS


def test_all_shards_of_a_node_share_its_connections(nodes, layer):
    for _ in range(2 * SHARDS):
        layer.send("work", {})
    for node in nodes.nodes:
        with nodes.client(node) as client:
            of_layer = [one for one in client.client_list() if one["cmd"].startswith("eval")]
        assert len(of_layer) == 1


def test_the_pops_of_a_node_are_ended_in_one_round_trip_and_none_is_left_behind(nodes, layer, monkeypatch):
    execute, ends = Server.execute, []

    def counted(server, operation, *arguments, **named):
        ends.extend(["end"] * (b"UNBLOCK" in operation.packed))
        return execute(server, operation, *arguments, **named)

    def blocked():
        return sum(nodes.client(node).info("clients")["blocked_clients"] for node in nodes.nodes)

    reader, received = layer.reader(), []
    for number in range(2):
        waiting = threading.Thread(target=lambda: received.append(reader.receive_batch(["work"], 1, 20)))
        waiting.start()
        eventually(lambda: blocked() == SHARDS, timeout=20)
        monkeypatch.setattr(Server, "execute", counted)
        layer.send("work", {"n": number})
        waiting.join(10)
        monkeypatch.undo()
        eventually(lambda: blocked() == 0)
    assert received == [[("work", {"n": 0})], [("work", {"n": 1})]]
    assert len(ends) < SHARDS, "three for each wait, and more where one comes late"
