"""Redis dies, restarts, hangs or cuts the line: everything is subscribed again, and the channels are told."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid

import pytest
import redis
from redis.exceptions import ConnectionError, RedisError, ResponseError

from asgi_redis.pubsub import listener as listening
from asgi_redis.wire import shard_of
from tests.pubsub.subscribers import drain, kill_listeners, subscribed
from tests.servers import pause, resume
from tests.threads import in_threads
from tests.waiting import eventually

NOTICES = {"on_disconnect": "redis.disconnect", "on_reconnect": "redis.reconnect"}
DISCONNECT, RECONNECT = {"type": "redis.disconnect"}, {"type": "redis.reconnect"}


def outages(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


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


def test_what_was_discarded_in_the_outage_stays_so_and_what_was_added_is_there(
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


def test_calls_while_the_line_is_cut_again_and_again_lose_no_subscription(pubsub_layer_for, fresh_redis_server):
    """Whoever was told that it listens does so in the end, whatever came between."""
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
    listeners = layer._subscriptions._listeners.values()
    eventually(lambda: all(one.confirmed for each in listeners for one in each.subscriptions.values()))
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
    eventually(lambda: all(layer._subscriptions.inboxes[name].confirmed for name in names))
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


class TestUnreachable:
    def test_calls_raise_it_soon(self, pubsub_layer_for, fresh_redis_server, prefix):
        layer = pubsub_layer_for(fresh_redis_server)
        fresh_redis_server.kill()
        started = time.monotonic()
        for call in (
            lambda: layer.send("work", {}),
            lambda: layer.send_group("chat", {}),
            lambda: layer.new_channel(),
            lambda: layer.receive([f"{prefix}.work"]),
        ):
            with pytest.raises(ConnectionError):
                call()
        assert time.monotonic() - started < 5

    def test_when_it_is_back_they_work(self, pubsub_layer_for, fresh_redis_server, prefix, caplog):
        layer = pubsub_layer_for(fresh_redis_server, **NOTICES)
        fresh_redis_server.kill()
        with pytest.raises(ConnectionError):
            layer.receive([f"{prefix}.work"])
        fresh_redis_server.start()
        eventually(lambda: layer.receive([f"{prefix}.work"]) == (None, None))
        layer.send(f"{prefix}.work", {"n": 1})
        assert layer.receive([f"{prefix}.work"], block=True)[1] == {"n": 1}  # and no notices: there was no connection
        eventually(lambda: len(outages(caplog)) == 2)

    def test_close_does_not_wait_for_it(self, pubsub_layer_for, fresh_redis_server):
        layer = pubsub_layer_for(fresh_redis_server)
        channel = layer.new_channel()
        fresh_redis_server.kill()
        with pytest.raises(ConnectionError):
            layer.group_add("chat", channel)
        started = time.monotonic()
        layer.close()
        assert time.monotonic() - started < 1

    def test_a_server_that_hangs_is_given_up(self, pubsub_layer_for, fresh_redis_server, monkeypatch):
        """A paused Redis keeps its connections; it is asked now and then, and answers in time or is lost."""
        monkeypatch.setattr(listening, "_TICK", 0.1)
        layer = pubsub_layer_for(
            fresh_redis_server, connection_kwargs={"socket_timeout": 0.5, "socket_connect_timeout": 0.5}, **NOTICES
        )
        channel = layer.new_channel()
        pause(fresh_redis_server)
        try:
            assert layer.receive([channel], block=True) == (channel, DISCONNECT)
            with pytest.raises(RedisError):
                layer.new_channel()
        finally:
            resume(fresh_redis_server)
        assert layer.receive([channel], block=True) == (channel, RECONNECT)
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_a_silent_server_that_answers_is_not(self, pubsub_layer_for, fresh_redis_server, monkeypatch):
        monkeypatch.setattr(listening, "_TICK", 0.05)
        layer = pubsub_layer_for(fresh_redis_server, connection_kwargs={"socket_timeout": 1}, **NOTICES)
        channel = layer.new_channel()
        assert layer.receive_batch([channel], 1, 1.5) == []
        layer.close_channel(channel)
        with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
            pings = client.info("commandstats")["cmdstat_ping"]["calls"]
            assert pings > 5
            # A connection without subscriptions answers in other words.
            eventually(lambda: client.info("commandstats")["cmdstat_ping"]["calls"] > pings + 5)
        assert layer.new_channel()


class TestRefusal:
    @pytest.fixture
    def restricted(self, fresh_redis_server, prefix):
        """A user who may use channels that begin with the prefix only."""
        with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
            client.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "+@all", "resetchannels", f"&{prefix}*")
        return f"redis://bob:pw@{fresh_redis_server.host}:{fresh_redis_server.port}"

    def test_it_is_raised_and_costs_nobody_else_anything(self, pubsub_layer_for, restricted, caplog):
        layer = pubsub_layer_for(restricted)
        channel = layer.new_channel()
        for _ in range(2):
            with pytest.raises(ResponseError):
                layer.receive(["forbidden", channel])
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})
        assert list(layer._subscriptions.inboxes) == [channel]
        assert outages(caplog) == []

    def test_a_reader_goes_on_with_the_other_channels(self, pubsub_layer_for, restricted, prefix, caplog):
        layer = pubsub_layer_for(restricted)
        reader = layer.reader()
        name = f"{prefix}.work"
        assert reader.receive_batch(["forbidden", name], 1, 1) == []
        assert reader.serving
        layer.send(name, {"n": 1})
        received = []
        for _ in range(20):
            received += reader.receive_batch(["forbidden", name], 1, 1)
            if received:
                break
        assert received == [(name, {"n": 1})]
        (line,) = outages(caplog)
        assert "Redis, asked to subscribe, does not serve messages" in line


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
