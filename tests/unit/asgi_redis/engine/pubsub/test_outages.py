"""Redis dies, restarts, hangs or cuts the line: everything is subscribed again, and the channels get notices."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid

import pytest
import redis
from redis.exceptions import ConnectionError

from asgi_redis.wire import shard_of
from tests.support.pubsub.subscribers import (
    DISCONNECT,
    NOTICES,
    RECONNECT,
    drain,
    kill_listeners,
    outages,
    subscribed,
)
from tests.support.threads import in_threads
from tests.support.waiting import eventually


def test_kill_9_and_restart(pubsub_layer_for, fresh_redis_server, prefix, caplog):
    """All channels and groups are there again when on_reconnect comes; the log has two lines."""
    layer = pubsub_layer_for(fresh_redis_server, **NOTICES)
    channels = [layer.new_channel() for _ in range(5)]
    for channel in channels:
        layer.group_add("chat", channel)
    layer.group_add("one", channels[0])
    before = subscribed(fresh_redis_server, prefix)
    assert len(before) == 7
    fresh_redis_server.kill()
    for channel in channels:
        assert layer.receive([channel], block=True) == (channel, DISCONNECT)
    with pytest.raises(ConnectionError):
        layer.send_group("chat", {"n": 0})
    with pytest.raises(ConnectionError):
        layer.new_channel()
    assert layer.receive(channels) == (None, None)
    fresh_redis_server.start()
    for channel in channels:
        assert layer.receive([channel], block=True) == (channel, RECONNECT)
    assert subscribed(fresh_redis_server, prefix) == before
    layer.send_group("chat", {"n": 1})
    for channel in channels:
        assert layer.receive([channel], block=True) == (channel, {"n": 1})
    layer.send_group("one", {"n": 2})
    assert layer.receive(channels, block=True) == (channels[0], {"n": 2})
    first, second = outages(caplog)
    assert "does not serve messages (ConnectionError" in first
    assert "serves messages again after" in second


def test_members_discarded_in_the_outage_stay_so_and_added_ones_are_there(
    pubsub_layer_for, fresh_redis_server, prefix
):
    layer = pubsub_layer_for(fresh_redis_server, **NOTICES)
    gone, stays = layer.new_channel(), layer.new_channel()
    for channel in (gone, stays):
        layer.group_add("chat", channel)
    layer.group_add("gone", gone)
    fresh_redis_server.kill()
    assert layer.receive([stays], block=True) == (stays, DISCONNECT)
    layer.close_channel(gone)
    with pytest.raises(ConnectionError):
        layer.group_add("added", stays)
    fresh_redis_server.start()
    assert layer.receive([stays], block=True) == (stays, RECONNECT)
    groups = [f"{prefix}__group__added", f"{prefix}__group__chat"]
    assert subscribed(fresh_redis_server, prefix) == sorted([stays, *groups])


def test_a_connection_that_is_cut_is_made_again_at_once(pubsub_layer_for, fresh_redis_server, caplog):
    layer = pubsub_layer_for(fresh_redis_server, **NOTICES)
    channel = layer.new_channel()
    layer.group_add("chat", channel)
    for number in range(5):
        kill_listeners(fresh_redis_server)
        assert layer.receive([channel], block=True) == (channel, DISCONNECT)
        assert layer.receive([channel], block=True) == (channel, RECONNECT)
        layer.send_group("chat", {"n": number})
        assert layer.receive([channel], block=True) == (channel, {"n": number})
    assert len(outages(caplog)) == 10


def test_without_notices_there_are_none(pubsub_layer_for, fresh_redis_server, caplog):
    layer = pubsub_layer_for(fresh_redis_server)
    channel = layer.new_channel()
    kill_listeners(fresh_redis_server)
    eventually(lambda: len(outages(caplog)) == 2)
    layer.send(channel, {"n": 1})
    assert layer.receive([channel], block=True) == (channel, {"n": 1})


def test_calls_while_the_line_is_cut_again_and_again_lose_no_subscription(
    pubsub_layer_for, fresh_redis_server, prefix
):
    """A channel whose ``receive`` has returned is listened to in the end, through all outages."""
    layer = pubsub_layer_for(fresh_redis_server, on_reconnect="redis.reconnect", capacity=1000)
    stopping = threading.Event()

    def cut():
        with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
            while not stopping.wait(0.02):
                client.client_kill_filter(_type="pubsub")

    made = []

    def insist(call, *arguments):
        while True:  # a cut in the middle of connecting is the caller's to know
            with contextlib.suppress(ConnectionError):
                return call(*arguments)

    def work(name):
        for number in range(25):
            channel = insist(layer.new_channel)
            insist(layer.group_add, name, channel)
            if number % 2:
                layer.group_discard(name, channel)
                layer.close_channel(channel)
            else:
                made.append((name, channel))

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        in_threads(work, [f"chat.{number}" for number in range(4)])
    finally:
        stopping.set()
        cutter.join()
    # As Redis has it: the layer may not have noticed the last cut yet.
    names = {channel for _, channel in made} | {f"{prefix}__group__{name}" for name, _ in made}
    eventually(lambda: names <= set(subscribed(fresh_redis_server, prefix)))
    for number in range(4):
        layer.send_group(f"chat.{number}", {"group": f"chat.{number}"})
    assert len(made) == 52
    for name, channel in made:
        layer.send(channel, {"channel": channel})
        received = []
        while {"channel": channel} not in received or {"group": name} not in received:
            _, message = layer.receive([channel], block=True)
            assert message is not None, (name, channel)
            received.append(message)


def test_messages_go_on_between_the_cuts(pubsub_layer_for, fresh_redis_server, prefix):
    """Messages may be lost with the line, but none comes twice, and none out of order."""
    layer = pubsub_layer_for(fresh_redis_server, capacity=100_000)
    channel = layer.new_channel()
    sent = 0
    for _ in range(10):
        for _ in range(100):
            layer.send(channel, {"n": sent})
            sent += 1
        kill_listeners(fresh_redis_server)
        eventually(lambda: subscribed(fresh_redis_server, prefix) == [channel])
    layer.send(channel, {"n": sent})
    received = []
    while sent not in received:
        received += [message["n"] for _, message in layer.receive_batch([channel], 1000, 5)]
    assert received == sorted(set(received))
    assert len(received) > 100


def test_one_shard_that_is_down_does_not_keep_the_others_from_serving(
    pubsub_layer_for, three_fresh_redis_servers, prefix
):
    layer = pubsub_layer_for(*three_fresh_redis_servers, **NOTICES)
    names = [f"{prefix}.{uuid.uuid4().hex}" for _ in range(200)]
    # Some for each shard.
    names = [name for shard in range(3) for name in [one for one in names if shard_of(one.encode(), 3) == shard][:4]]
    assert len(names) == 12
    reader = layer.reader()
    assert reader.receive_batch(names, 10, 5) == []
    eventually(lambda: all(layer.subscriptions.inboxes[name].confirmed for name in names))
    three_fresh_redis_servers[0].kill()
    received = [reader.receive_batch([name], 1, 5) for name in names]
    assert received == [[(name, DISCONNECT)] for name in names]  # also those of the other shards: groups may be there
    assert reader.receive_batch(names, 1) == []
    served = 0
    for name in names:
        with contextlib.suppress(ConnectionError):
            layer.send(name, {"n": 1})
            served += 1
            assert reader.receive_batch(names, 1, 5) == [(name, {"n": 1})]
    assert served == 8


def test_a_reader_waits_out_an_outage_and_raises_nothing(pubsub_layer_for, fresh_redis_server, prefix, caplog):
    layer = pubsub_layer_for(fresh_redis_server)
    reader = layer.reader()
    name = f"{prefix}.work"
    fresh_redis_server.kill()
    started = time.monotonic()
    assert reader.receive_batch([name], 1, 1) == []
    assert time.monotonic() - started >= 0.9
    assert not reader.serving
    fresh_redis_server.start()
    assert eventually(lambda: reader.receive_batch([name], 1, 2) == [] and reader.serving)
    layer.send(name, {"n": 1})
    assert reader.receive_batch([name], 1, 5) == [(name, {"n": 1})]
    assert drain(layer, name) == []
    eventually(lambda: len(outages(caplog)) == 2)


def test_a_server_that_a_name_leads_to_no_longer_is_left(
    pubsub_layer_for, fresh_redis_server, proxy, prefix, monkeypatch
):
    """The old one lives on, and would be listened to for ever."""
    monkeypatch.setattr("asgi_redis.engine.pubsub.listener._CHECK_SECONDS", 0.05)
    layer = pubsub_layer_for(proxy, connection_kwargs={"max_connection_age": 0.2}, **NOTICES)
    channel = layer.new_channel()
    layer.group_add("chat", channel)
    connections = proxy.connections
    eventually(lambda: proxy.connections > connections + 1)  # it has looked, and goes on: it is the same server
    assert layer.receive([channel]) == (None, None)
    proxy.target = fresh_redis_server.host, fresh_redis_server.port
    assert layer.receive([channel], block=True) == (channel, DISCONNECT)
    assert layer.receive([channel], block=True) == (channel, RECONNECT)
    pubsub_layer_for(fresh_redis_server).send_group("chat", {"n": 1})
    assert layer.receive([channel], block=True) == (channel, {"n": 1})
