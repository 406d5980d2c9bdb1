"""The current picture of a layer, on a real Redis."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
import redis

from asgi_redis import ChannelFull
from asgi_redis.engine.facts import DelayedFacts, Found, ProcessEntry, ServerFacts
from asgi_redis.monitor import Monitor
from tests.support.servers import pause, resume
from tests.support.waiting import eventually

KEYS = ["time", "layer", "expiry", "complete", "error", "servers", "totals", "channels", "groups", "delayed"]


class Eyes:
    """An inspector of the queues and groups that a test names."""

    def __init__(self, layer, queues=(), groups=()):
        self.layer = layer
        self.queues = queues
        self.groups = groups
        self.delayed_facts = DelayedFacts(0, 0, None, ())

    def servers(self):
        return [ServerFacts("one", latency=0.001)]

    def sweep(self):
        for queue in self.queues:
            yield Found({queue: self.layer.channel_statistics(queue)["messages_pending"]}, {})
        for group in self.groups:
            yield Found({}, {group: len(self.layer.group_channels(group))})

    def delayed(self, limit=0):
        return self.delayed_facts


class Book:
    """A registry with the entries that a test writes."""

    def __init__(self, *entries):
        self.entries = list(entries)

    def processes(self):
        return self.entries


@pytest.fixture
def layer(layer_for, redis_server):
    layer = layer_for(redis_server, capacity=10)
    layer.registry = None
    return layer


def row_of(snapshot, channel):
    return next(row for row in snapshot["channels"] if row["channel"] == channel)


def has_rates(snapshot):
    return snapshot["totals"]["in_per_second"] is not None


def test_the_picture_of_a_layer(layer):
    layer.inspector, layer.registry = Eyes(layer, ["work", "busy"], ["room"]), Book()
    layer.registry.entries.append(
        ProcessEntry("w", 0.5, {"role": "worker", "channels": ["busy", "idle"], "client_prefix": "p1"})
    )
    for _ in range(3):
        layer.send("work", {})
    layer.send("busy", {})
    layer.group_add("room", "websocket.send.p1!x")
    layer.group_add("room", "websocket.send.p2!x")
    with Monitor(layer, interval=0.05) as monitor:
        shown = monitor.wait(lambda picture: picture["complete"], 20)
    assert list(shown) == [*KEYS, "processes"]
    assert json.loads(json.dumps(shown)) == shown
    assert [row["channel"] for row in shown["channels"]] == ["work", "busy", "idle"]
    work = row_of(shown, "work")
    assert (work["waiting"], work["capacity"], work["readers"]) == (3, 10, 0)
    assert work["oldest"] > 0
    assert work["messages_count"] == 3
    assert [row_of(shown, name)["readers"] for name in ("busy", "idle")] == [1, 1]
    assert shown["groups"] == [{"group": "room", "members": 2, "processes": 2}]
    assert (shown["totals"]["waiting"], shown["totals"]["channels"], shown["totals"]["groups"]) == (4, 2, 1)
    assert shown["totals"]["messages_count"] == 4
    assert shown["servers"][0]["name"] == "one"
    assert shown["processes"][0]["process"] == "w"
    assert shown["processes"][0]["role"] == "worker"
    assert shown["error"] == ""


def test_rates_come_from_two_pictures(layer):
    layer.inspector = Eyes(layer, ["work"])
    layer.send("work", {})
    with Monitor(layer, interval=0.1) as monitor:
        monitor.wait(lambda picture: picture["complete"], 20)

        def moves():
            layer.send("work", {})
            layer.receive(["work"])
            work = row_of(monitor.snapshot(), "work")
            return work["in_per_second"] and work["out_per_second"] and monitor.snapshot()

        shown = eventually(moves)
        assert row_of(shown, "work")["marks"] == []
        still = monitor.wait(lambda picture: row_of(picture, "work")["out_per_second"] == 0, 20)
        assert row_of(still, "work")["in_per_second"] == 0


def test_a_channel_that_was_emptied_is_shown_with_what_went_out(layer):
    layer.inspector = Eyes(layer, ["work"])
    layer.send("work", {})
    with Monitor(layer, interval=0.1) as monitor:
        monitor.wait(lambda picture: picture["complete"], 20)
        layer.inspector.queues = []
        layer.receive(["work"])
        shown = monitor.wait(lambda picture: bool(row_of(picture, "work")["out_per_second"]), 20)
    assert row_of(shown, "work")["waiting"] == 0


class TestMarks:
    def marks(self, layer, ready=has_rates):
        with Monitor(layer, interval=0.05) as monitor:
            shown = monitor.wait(ready, 20)
        return row_of(shown, "work")["marks"]

    def test_a_full_channel(self, layer):
        layer.inspector = Eyes(layer, ["work"])
        for _ in range(10):
            layer.send("work", {})
        assert self.marks(layer) == ["full", "unread"]

    def test_messages_that_no_process_reads(self, layer):
        layer.inspector, layer.registry = Eyes(layer, ["work"]), Book(ProcessEntry("w", 0, {"channels": ["other"]}))
        layer.send("work", {})
        assert self.marks(layer) == ["no reader", "unread"]

    def test_messages_that_few_projects_read(self, layer):
        layer.inspector, layer.registry = Eyes(layer, ["work", "http.disconnect"]), Book()
        for channel in ("http.disconnect", "work"):
            layer.send(channel, {})
        with Monitor(layer, interval=0.05) as monitor:
            shown = monitor.wait(has_rates, 20)
        assert {row["channel"]: row["marks"] for row in shown["channels"]} == {
            "http.disconnect": [],
            "work": ["no reader", "unread"],
        }

    def test_messages_whose_reader_does_not_read(self, layer):
        layer.inspector, layer.registry = Eyes(layer, ["work"]), Book(ProcessEntry("w", 0, {"channels": ["work"]}))
        layer.send("work", {})
        assert self.marks(layer) == ["unread"]

    def test_messages_that_expire(self, layer_for, redis_server):
        layer = layer_for(redis_server, expiry=0.3, capacity=2)
        layer.inspector = Eyes(layer, ["work"])
        layer.send("work", {})
        with Monitor(layer, interval=0.05) as monitor:
            monitor.wait(has_rates, 20)

            def expiring():
                with contextlib.suppress(ChannelFull):
                    layer.send("work", {})  # to a full channel: drops expired messages, and counts them
                row = row_of(monitor.snapshot(), "work")
                return "expiring" in row["marks"] and row["messages_expired"] > 0

            assert eventually(expiring, interval=0.1)

    def test_messages_that_expire_and_that_no_process_reads(self, layer_for, redis_server):
        layer = layer_for(redis_server, expiry=2)
        layer.inspector, layer.registry = Eyes(layer, ["work"]), Book()
        for _ in range(20):
            layer.send("work", {})
            time.sleep(0.05)  # so that they expire one after the other
        with Monitor(layer, interval=0.1) as monitor:
            expiring = ["no reader", "unread", "expiring"]
            shown = monitor.wait(lambda picture: row_of(picture, "work")["marks"] == expiring, 20)
        assert 0 < row_of(shown, "work")["waiting"] < 20
        assert row_of(shown, "work")["out_per_second"] == 0


class TestErrors:
    def test_an_outage_is_shown_and_ends(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server)
        layer.inspector = Eyes(layer, ["work"])
        layer.send("work", {})
        with Monitor(layer, interval=0.05) as monitor:
            monitor.wait(lambda picture: picture["complete"], 20)
            fresh_redis_server.stop()
            # The connection that the server closed as it went may be all that the first picture tells.
            port = str(fresh_redis_server.port)
            shown = monitor.wait(lambda picture: port in picture["error"], 20)
            assert port in shown["error"]
            assert row_of(shown, "work")["channel"] == "work"
            fresh_redis_server.start()
            assert monitor.wait(lambda picture: not picture["error"], 20)["error"] == ""

    @pytest.mark.native("a call of the layer blocks a thread")
    def test_a_server_that_hangs_is_shown_within_seconds(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server)
        layer.send("work", {})
        with Monitor(layer, interval=0.05) as monitor:
            monitor.wait(has_rates, 20)
            pause(fresh_redis_server)
            try:
                began = time.monotonic()
                shown = monitor.wait(lambda picture: bool(picture["error"]), 20)
                assert monitor.wait(lambda picture: picture is not shown, 20)["servers"][0]["error"]
                assert time.monotonic() - began < 12
            finally:
                resume(fresh_redis_server)
            assert monitor.wait(lambda picture: not picture["error"], 20)["error"] == ""

    def test_of_two_shards_the_other_one_is_seen(self, layer_for, redis_server, fresh_redis_server):
        layer = layer_for(redis_server, fresh_redis_server)
        for _ in range(4):
            layer.send("work", {})
        fresh_redis_server.stop()
        with Monitor(layer, interval=0.05) as monitor:
            shown = monitor.wait(lambda picture: picture["complete"], 20)
        assert str(fresh_redis_server.port) in shown["error"]
        assert row_of(shown, "work")["waiting"] == 2
        assert [bool(server["error"]) for server in shown["servers"]] == [False, True]

    def test_a_password_is_never_shown(self, layer_for, acl_server):
        layer = layer_for(f"redis://alice:not-the-password@{acl_server.host}:{acl_server.port}")
        with Monitor(layer, interval=0.05) as monitor:
            shown = monitor.wait(lambda picture: bool(picture["error"]), 20)
        assert "user name or password" in shown["error"]
        assert "not-the-password" not in json.dumps(shown)

    def test_an_error_that_nothing_foresaw_is_logged_and_shown(self, layer, caplog):
        layer.inspector = Eyes(layer, ["work"])
        layer.inspector.servers = lambda: 1 // 0
        with Monitor(layer, interval=0.05) as monitor:
            shown = monitor.wait(lambda picture: "division" in picture["error"], 20)
        assert "division" in shown["error"]
        assert "could not make its picture" in caplog.text


def test_a_layer_without_inspector_and_registry_has_its_counters(layer):
    layer.inspector = layer.registry = None
    layer.send("work", {})
    with Monitor(layer, interval=0.05) as monitor:
        shown = monitor.wait(lambda picture: True, 20)
    assert shown["complete"]
    assert shown["totals"]["messages_count"] == 1
    assert (shown["channels"], shown["groups"], shown["processes"], shown["servers"]) == ([], [], [], [])


@pytest.mark.parametrize("counters", [{}, {"messages_count": 1, "messages_pending": 1, "messages_max_age": 0.0}])
def test_the_layer_of_a_project_may_have_few_counters(layer, monkeypatch, counters):
    """Those of Channels 1 had no number of expired messages, and all are optional."""
    monkeypatch.setattr(layer, "global_statistics", lambda: counters)
    monkeypatch.setattr(layer, "many_channel_statistics", lambda channels: dict.fromkeys(channels, counters))
    layer.send("work", {})
    with Monitor(layer, interval=0.05) as monitor:
        shown = monitor.wait(lambda picture: picture["complete"] or picture["error"], 20)
    assert shown["error"] == ""
    assert [(row["channel"], row["waiting"]) for row in shown["channels"]] == [("work", 1)]


def test_names_that_no_channel_has_are_left_out(layer):
    layer.inspector = Eyes(layer)
    layer.inspector.sweep = lambda: iter([Found({"n" * 120: 3, "work": 1}, {})])
    with Monitor(layer, interval=0.05) as monitor:
        shown = monitor.wait(lambda picture: picture["complete"], 20)
    assert [row["channel"] for row in shown["channels"]] == ["work"]


def test_only_the_largest_channels_are_looked_up(layer, monkeypatch):
    layer.inspector = Eyes(layer)
    layer.inspector.sweep = lambda: iter([Found({f"c{n}": n for n in range(5000)}, {})])
    asked = []
    of_many = layer.many_channel_statistics
    monkeypatch.setattr(layer, "many_channel_statistics", lambda names: asked.append(list(names)) or of_many(names))
    with Monitor(layer, interval=60) as monitor:
        shown = monitor.wait(lambda picture: picture["complete"], 20)
    assert [len(names) for names in asked] == [100, 100]
    assert asked[0][0] == "c4999"
    assert shown["totals"]["channels"] == 5000


def test_leaving_it_ends_its_thread_at_once(layer):
    with Monitor(layer, interval=60) as monitor:
        monitor.wait(lambda picture: True, 20)
        thread = monitor._thread
    assert not thread.is_alive()


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_members_of_large_groups_are_not_looked_up(layer, redis_server, prefix, size):
    layer.inspector = Eyes(layer, groups=["room"])
    layer.group_add("room", "s.p0!x")
    with redis.Redis.from_url(redis_server.url, protocol=2) as client:
        (_, score), *_ = client.zrange(f"{prefix}:group:room", 0, 0, withscores=True)
        client.zadd(f"{prefix}:group:room", {f"s.p{n % 4}!{n}": score for n in range(size - 1)})
    with Monitor(layer, interval=0.05) as monitor:
        shown = monitor.wait(lambda picture: picture["complete"], 20)
    assert shown["groups"] == [{"group": "room", "members": size, "processes": 4 if size == 1000 else None}]
