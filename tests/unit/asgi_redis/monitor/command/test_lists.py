"""The commands ``channels``, ``groups``, ``workers`` and ``delayed``."""

from __future__ import annotations

import time


def test_channels_come_with_the_most_messages_first(layer, asgi_redis):
    for name, number in (("few", 1), ("many", 3)):
        for _ in range(number):
            layer.send(name, {})
    ended = asgi_redis("channels")
    assert [line[:2] for line in ended.table] == [["CHANNEL", "WAITING"], ["many", "3"], ["few", "1"]]
    assert ended.code == 0
    assert [row["channel"] for row in asgi_redis("channels", "--limit", "1", "--json").json] == ["many"]


def test_channels_that_are_named_are_looked_up_alone(layer, asgi_redis):
    layer.send("work", {})
    rows = asgi_redis("channels", "nothing", "work", "specific.abc!xyz", "--json").json
    assert [(row["channel"], row["waiting"]) for row in rows] == [("nothing", 0), ("work", 1), ("specific.abc!", 0)]
    assert rows[1]["messages_count"] == 1
    assert rows[1]["readers"] == 0


def test_the_capacity_is_that_of_the_flag(layer, asgi_redis):
    layer.send("work", {})
    assert asgi_redis("channels", "work", "--json", "--capacity", "1").json[0]["marks"] == ["full", "no reader"]


def test_groups_and_their_members(layer, asgi_redis):
    layer.group_add("room", "websocket.send.p1!a")
    layer.group_add("room", "websocket.send.p1!b")
    layer.group_add("hall", "websocket.send.p2!a")
    assert asgi_redis("groups").table == [["GROUP", "MEMBERS", "PROCESSES"], ["room", "2", "1"], ["hall", "1", "1"]]
    members = {"channels": ["websocket.send.p1!a", "websocket.send.p1!b"], "group": "room", "members": 2}
    assert asgi_redis("groups", "room", "--json").json == [{**members, "processes": 1}]
    assert asgi_redis("groups", "room").table[2:] == [["websocket.send.p1!a"], ["websocket.send.p1!b"]]


def test_workers_with_their_running_consumers(layer, asgi_redis):
    running = [{"channel": "work", "consumer": "mysite.peel", "seconds": 3.25}]
    report = {"role": "worker", "started": time.time(), "busy": 1, "slots": 4, "running": running}
    layer.registry.report("web1.12", report)
    (row,) = asgi_redis("workers", "--json").json
    assert row.pop("age") < 15
    assert row == {**report, "process": "web1.12"}
    lines = asgi_redis("workers").table
    assert "UP" in lines[0]
    assert lines[1][:2] == ["web1.12", "worker"]
    assert lines[2] == ["3.2", "s", "work", "mysite.peel"]


def test_delayed_messages(layer, asgi_redis):
    layer.delayed.send("later", {}, 100)
    layer.delayed.send("much-later", {}, 100_000)
    found = asgi_redis("delayed", "--json", "--limit", "1").json
    assert (found["messages"], found["waiting_for_room"]) == (2, 0)
    assert 60 < found["next_due"] <= 100
    assert [one["channel"] for one in found["first"]] == ["later"]
    ended = asgi_redis("delayed")
    assert ended.output.startswith("2 messages wait for their time, 0 for room in their channels\n")
    assert [line[0] for line in ended.table[2:]] == ["later", "much-later"]


def test_an_empty_layer_is_no_failure(asgi_redis):
    for command in ("channels", "groups", "workers"):
        assert asgi_redis(command, "--json").json == []


def test_a_server_that_does_not_answer_is_a_failure(run):
    for command in ("channels", "groups", "workers", "delayed", "ping"):
        ended = run(command, "--url", "redis://:secret@127.0.0.1:1/0")
        assert ended.code == 1
        assert "127.0.0.1:1" in ended.errors + ended.output
        assert "secret" not in ended.errors + ended.output


def test_names_that_are_not_valid_exit_with_2(asgi_redis):
    assert asgi_redis("channels", "no/name").code == 2
    assert asgi_redis("groups", "no/name").code == 2
