"""The guides to shards, Sentinels and clusters: their settings make layers, and their steps lose nothing."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import ChannelFull, RedisChannelLayer, RedisClusterChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.integrations.django import make_channel_layer
from tests.support.cluster_traffic import ClusterTraffic
from tests.support.clusters import Cluster, needs_redis_cli, run_single_node_cluster, slot_of
from tests.support.documents.pages import Page
from tests.support.sentinels import Cluster as Watched
from tests.support.sentinels import client_of
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"
PAGES = ["choose_a_layer.rst", "change_layer.rst", "scale_shards.rst", "scale_sentinel.rst", "scale_cluster.rst"]


@pytest.mark.parametrize("name", PAGES)
def test_the_settings_of_the_page_make_layers(name: str) -> None:
    """Each block of settings, in the order of the page: some go on where others end."""
    settings: dict[str, Any] = {}
    blocks = [
        block for block in Page(HOWTO / name).blocks("python") if block.caption.startswith("mysite/settings.py")
    ]
    assert blocks
    for block in blocks:
        exec(block.text, settings)
        layers = settings["CHANNEL_LAYERS"]
        for alias in layers:
            make_channel_layer(alias, layers).close()


class Jobs:
    """A sender and a reader of numbered jobs, in threads, whose layers a test changes meanwhile."""

    def __init__(self, layer: RedisChannelLayer) -> None:
        self.sender = self.reader = layer
        self.sent: list[int] = []
        self.received: Counter[int] = Counter()
        self._has_ended, self._is_drained = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def __enter__(self) -> Jobs:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._has_ended.set()
        self._threads[0].join()
        self._is_drained.set()
        self._threads[1].join()

    def flow(self, number: int = 100) -> None:
        """Returns when so many more were sent by now, and received."""
        wanted = len(self.sent) + number
        eventually(lambda: len(self.sent) >= wanted and self.received.keys() >= set(self.sent[:wanted]), timeout=60)

    def _send(self) -> None:
        for number in range(1_000_000):
            if self._has_ended.wait(0.001):
                return
            self.sender.send("jobs", {"number": number})
            self.sent.append(number)

    def _receive(self) -> None:
        batch: Any = ()
        while batch or not self._is_drained.is_set():
            batch = self.reader.receive_batch(["jobs"], 10, 0.1)
            self.received.update(message["number"] for _, message in batch)

    def lost_or_doubled(self) -> list[int]:
        return [number for number in self.sent if self.received[number] != 1]


class TestShards:
    def test_a_shard_comes_and_goes_while_jobs_flow(
        self, three_redis_servers: list[RedisServer], prefix: str
    ) -> None:
        one, two = (
            RedisChannelLayer(hosts=[server.url for server in three_redis_servers[:number]], prefix=prefix)
            for number in (1, 2)
        )
        new = RedisChannelLayer(hosts=[three_redis_servers[1].url], prefix=prefix)
        with Jobs(one) as jobs:
            jobs.flow()
            for reader, sender in ((two, two), (two, one), (one, one)):  # in the order of the steps
                jobs.reader = reader
                jobs.flow()
                jobs.sender = sender
                jobs.flow()
                if sender is one and reader is two:  # the new shard is empty before the workers leave it
                    eventually(lambda: not new.channel_statistics("jobs")["messages_pending"])
        assert jobs.lost_or_doubled() == []
        assert new.channel_statistics("jobs")["messages_count"] > 0
        for layer in (one, two, new):
            layer.close()

    def test_the_senders_of_a_shard_that_is_away_are_told_so(
        self, three_fresh_redis_servers: list[RedisServer]
    ) -> None:
        layer = RedisChannelLayer(hosts=[server.url for server in three_fresh_redis_servers[:2]])
        layer.send("jobs", {})
        layer.send("jobs", {})
        three_fresh_redis_servers[1].stop()
        results = [_error_of(layer.send, "jobs", {}) for _ in range(10)]
        assert sorted(results) == ["ConnectionError"] * 5 + ["none"] * 5
        reader = layer.reader()
        assert len(eventually(lambda: reader.receive_batch(["jobs"], 10, 0.1))) == 6
        reader.close()
        assert _error_of(layer.receive, ["jobs"]) == "ConnectionError"
        layer.close()


def _error_of(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001  its class is the result
        return type(error).__name__
    return "none"


def watch(stack: ExitStack, master: RedisServer) -> Watched:
    """Steps 1 and 2 of the guide: a replica, and three Sentinels with the file of the guide."""
    options = {"replicaof": [master.host, master.port or 0], "repl-diskless-sync-delay": 0}
    replica = stack.enter_context(RedisServer(options))
    lines = (ROOT / "examples" / "deployment" / "sentinel.conf").read_text().splitlines()
    words = [line.replace("redis1 6379", f"{master.host} {master.port}").split() for line in lines]
    directives: Any = [("sentinel", parts[1:]) for parts in words if parts[0] == "sentinel"]
    watchers = [stack.enter_context(RedisServer(directives, sentinel=True)) for _ in range(3)]
    watched = Watched({"mysite": [master, replica]}, watchers)

    def complete() -> bool:
        for watcher in watched.watchers:
            with client_of(watcher) as client:
                state = client.sentinel_masters()["mysite"]
                if (state["num-other-sentinels"], state["num-slaves"]) != (2, 1):
                    return False
        return watched.replicas_in_sync("mysite")

    eventually(complete, timeout=60)
    return watched


@pytest.mark.timeout(240)
def test_a_redis_comes_under_sentinels_and_fails_over_in_good_order(fresh_redis_server: RedisServer) -> None:
    (block,) = [one for one in Page(HOWTO / "scale_sentinel.rst").blocks("python") if '"ROUTING"' in one.text]
    settings: dict[str, Any] = {}
    exec(block.text, settings)
    plain = RedisChannelLayer(hosts=[fresh_redis_server.url])
    plain.group_add("editors", "socket!1")
    with ExitStack() as stack:
        with Jobs(plain) as jobs:
            jobs.flow()
            watched = watch(stack, fresh_redis_server)
            settings["CHANNEL_LAYERS"]["default"]["CONFIG"]["hosts"] = watched.sentinels
            layer: Any = make_channel_layer("default", settings["CHANNEL_LAYERS"])
            jobs.reader = layer
            jobs.flow()
            jobs.sender = layer
            jobs.flow()
            assert layer.group_channels("editors") == ["socket!1"]
        assert jobs.lost_or_doubled() == []
        watched.failover("mysite")
        _, replica = watched.services["mysite"]
        eventually(lambda: watched.master_of("mysite") is replica, timeout=60)
        eventually(lambda: layer.group_channels("editors") == ["socket!1"], timeout=60)
        back = RedisChannelLayer(hosts=[replica.url])  # the way back: the present master alone
        layer.send("jobs", {"number": -1})
        assert back.receive(["jobs"]) == ("jobs", {"number": -1})
        for one in (plain, layer, back):
            one.close()


class TestCluster:
    @needs_redis_cli
    def test_the_script_moves_a_shard_while_messages_flow(self, three_masters: Cluster, prefix: str) -> None:
        layer = RedisClusterChannelLayer(hosts=three_masters.urls, shards=4, prefix=prefix, capacity=10_000)
        slot = slot_of(f"{{{prefix}:1}}")
        source = three_masters.master_of(slot)
        target = next(node for node in three_masters.masters() if node is not source)
        script = ROOT / "examples" / "deployment" / "move-slot.sh"
        with ClusterTraffic(layer, pause=0.001) as traffic:
            for one, other in ((source, target), (target, source)):
                ends = [one.host, str(one.port), other.host, str(other.port)]
                done = subprocess.run(["sh", script, str(slot), *ends], capture_output=True, text=True, timeout=60)
                assert (done.returncode, done.stderr) == (0, ""), done.stdout
                assert "All 16384 slots covered" in done.stdout
                eventually(lambda other=other: three_masters.master_of(slot) is other)
        assert (traffic.lost(), traffic.doubled(), traffic.errors) == (set(), {}, [])
        layer.close()

    def test_the_user_of_the_page_may_do_what_the_layer_does(self) -> None:
        with run_single_node_cluster() as cluster, cluster.client(cluster.nodes[0]) as admin:
            admin.execute_command("ACL", "SETUSER", "mysite", "on", ">password", *_rights_of("+bzpopmin"))
            user = {"username": "mysite", "password": "password"}
            layer = RedisClusterChannelLayer(hosts=cluster.urls, shards=2, capacity=1, connection_kwargs=user)
            layer.block_timeout = 0.1
            layer.group_add("group", "channel")
            assert layer.send_group("group", {}) == 0
            assert layer.receive(["channel", "other"], block=True) == ("channel", {})
            assert layer.receive(["channel", "other"], block=True) == (None, None)
            layer.group_discard("group", "channel")
            layer.delayed.send("channel", {}, 0)
            layer.delayed.deliver()
            assert layer.channel_statistics("channel")["messages_pending"] == 1
            with pytest.raises(ChannelFull):
                layer.send("channel", {})
            for process in ("one", "two"):
                layer.registry.report(process, {})
                assert layer.registry.ask(process, "quiet")
                assert layer.registry.report(process, {}) == "quiet"
            assert [entry.process for entry in layer.registry.processes()] == ["one", "two"]
            layer.registry.withdraw("one")
            layer.flush()
            layer.close()
            # With it redis-py gives its name to Redis 7.2 and newer, and does without where it may not.
            assert [entry for entry in admin.acl_log() if entry["object"] != "client|setinfo"] == []


def _rights_of(word: str) -> list[str]:
    """Returns the rules of the one ``ACL SETUSER`` of the page that has this word."""
    (rule,) = [one.text for one in Page(HOWTO / "scale_cluster.rst").blocks("sh") if word in one.text]
    return [part for part in shlex.split(rule) if part.startswith(("+", "-@", "~"))]
