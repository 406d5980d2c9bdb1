"""``RedisLocalChannelLayer``: normal channels here, everything else on Redis."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from asgi_redis import (
    ChannelFull,
    InMemoryChannelLayer,
    IPCChannelLayer,
    MessageTooLarge,
    RedisChannelLayer,
    RedisLocalChannelLayer,
)
from asgi_redis.conformance import ChannelLayerConformance
from asgi_redis.exceptions import ConfigurationError, InvalidName
from asgi_redis.wire.message import statistics_of
from tests.support.conformance import load_conformance_test_case

ROOT = Path(__file__).parents[5]
MIXED = ["normal", "mine!", "single?reader"]

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False  # only its subclasses are tests


class TestConformance(ConformanceTestCase):
    """asgiref 1.1.2's suite."""

    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5

    local = {}

    @pytest.fixture(autouse=True)
    def _layer(self, local_layer_for):
        self.channel_layer = local_layer_for(expiry=1, group_expiry=0.5, capacity=self.capacity_limit, **self.local)
        yield
        self.channel_layer.flush()


@pytest.mark.soak
class TestConformanceOverMemory(TestConformance):
    """In-memory instead of IPC."""

    local = {"local_layer": {"BACKEND": "asgi_redis.InMemoryChannelLayer"}}


class TestOurConformance(ChannelLayerConformance):
    """This project's own suite."""

    @pytest.fixture
    def make_layer(self, local_layer_for):
        return local_layer_for


@pytest.mark.soak
class TestOurConformanceOverMemory(TestOurConformance):
    """In-memory instead of IPC."""

    crosses_processes = False

    @pytest.fixture
    def make_layer(self, local_layer_for):
        return functools.partial(local_layer_for, local_layer={"BACKEND": "asgi_redis.InMemoryChannelLayer"})


class TestSending:
    def test_normal_channels_stay_here_and_all_others_are_on_redis(self, layer, redis_layer):
        for channel in ("normal", "mine!1", "single?reader"):
            layer.send(channel, {"to": channel})
        assert redis_layer.receive(["normal"]) == (None, None)
        assert redis_layer.receive(["mine!"]) == ("mine!1", {"to": "mine!1"})
        assert redis_layer.receive(["single?reader"]) == ("single?reader", {"to": "single?reader"})
        assert layer.receive(["normal"]) == ("normal", {"to": "normal"})

    def test_the_capacity_holds_on_both_sides(self, local_layer_for):
        layer = local_layer_for(capacity=5, channel_capacity={"small*": 2})
        for channel, capacity in (("normal", 5), ("small", 2), ("mine!1", 5), ("small.mine!1", 2)):
            assert layer.get_capacity(channel) == capacity
            for _ in range(capacity):
                layer.send(channel, {})
            with pytest.raises(ChannelFull):
                layer.send(channel, {})

    @pytest.mark.parametrize("channel", [5, None, "two words", "single?"])
    def test_a_wrong_name_is_an_error(self, layer, channel):
        with pytest.raises(InvalidName):
            layer.send(channel, {})
        with pytest.raises(InvalidName):
            layer.receive(["normal", channel])

    def test_normal_channels_need_no_redis(self, local_layer_for):
        layer = local_layer_for(hosts=["redis://127.0.0.1:1"])
        layer.send("normal", {"n": 1})
        assert layer.receive_batch(["normal"], 5, 1) == [("normal", {"n": 1})]


class TestGroups:
    def test_a_group_reaches_its_members_on_redis_and_the_normal_ones_here(self, layer, redis_layer):
        for channel in ("normal", "mine!1", "mine!2", "single?reader"):
            layer.group_add("chat", channel)
        assert sorted(redis_layer.group_channels("chat")) == ["mine!1", "mine!2", "normal", "single?reader"]
        assert layer.send_group("chat", {"n": 1}) == 0
        assert layer.receive(["normal"]) == ("normal", {"n": 1})
        assert redis_layer.receive(["normal"]) == (None, None)
        received = redis_layer.receive_batch(["mine!"], 5) + redis_layer.receive_batch(["single?reader"], 5)
        assert sorted(received) == [("mine!1", {"n": 1}), ("mine!2", {"n": 1}), ("single?reader", {"n": 1})]

    def test_what_is_dropped_on_both_sides_adds_up(self, local_layer_for, caplog):
        caplog.set_level(logging.INFO, "asgi_redis")
        layer = local_layer_for(capacity=1)
        for channel in ("normal", "other", "mine!1", "single?reader"):
            layer.group_add("chat", channel)
        for channel in ("normal", "mine!1"):
            layer.send(channel, {})
        assert layer.group_send("chat", {"n": 1}) == 2
        assert "2 of 4 channels over capacity in group chat" in caplog.text

    def test_channels_of_both_sides_are_excluded(self, local_layer_for):
        layer = local_layer_for()
        for channel in ("a", "b", "p!a", "p!b"):
            layer.group_add("chat", channel)
        assert layer.group_count("chat") == 4
        assert layer.send_group("chat", {"n": 1}, exclude=["a", "p!b"]) == 0
        assert [layer.receive([name])[0] for name in ("a", "b", "p!", "p!")] == [None, "b", "p!a", None]

    def test_a_message_that_one_side_cannot_take_is_sent_to_neither(self, local_layer_for):
        for ours, theirs in ((1000, 100), (100, 1000), (1000, 1000)):
            layer = local_layer_for(
                max_message_bytes=ours, local_layer=InMemoryChannelLayer(max_message_bytes=theirs)
            )
            layer.group_add("chat", "normal")
            layer.group_add("chat", "mine!1")
            at_the_border = {"text": "x" * 970}  # with the names of the channels that Redis is told, it is beyond
            for wrong, error in ((at_the_border, MessageTooLarge), ({"a": {1}}, TypeError)):
                with pytest.raises(error):
                    layer.send_group("chat", wrong)
            assert [layer.receive_batch(MIXED, 5) for _ in range(2)] == [[], []]

    def test_members_that_are_no_names_are_left_out(self, layer, redis_server, prefix):
        """Another program may have put anything into a group."""
        layer.group_add("g", "normal")
        with redis.Redis.from_url(redis_server.url, protocol=2) as client:
            (key,) = client.keys(f"{prefix}*g")
            client.zadd(key, {"not a name": time.time(), "": time.time()})
        assert layer.send_group("g", {"n": 1}) == 2
        assert layer.receive(["normal"]) == ("normal", {"n": 1})


class TestStatistics:
    def test_statistics_are_those_of_the_place_where_the_channel_is_and_global_ones_of_both(self, local_layer_for):
        layer = local_layer_for(capacity=2)
        for channel, number in (("normal", 3), ("mine!1", 4)):
            for _ in range(number):
                with contextlib.suppress(ChannelFull):
                    layer.send(channel, {})
        normal, mine = layer.channel_statistics("normal"), layer.channel_statistics("mine!1")
        assert (normal["messages_count"], normal["channel_full_count"], normal["messages_pending"]) == (2, 1, 2)
        assert (mine["messages_count"], mine["channel_full_count"], mine["messages_pending"]) == (2, 2, 2)
        many = layer.many_channel_statistics(["mine!", "normal"])
        assert [many[name]["messages_count"] for name in ("mine!", "normal")] == [
            mine["messages_count"],
            normal["messages_count"],
        ]
        assert layer.global_statistics() == statistics_of([4, 3, 0, 0, 0, 0])
        with pytest.raises(InvalidName):
            layer.channel_statistics(5)

    def test_flush_empties_both(self, layer):
        layer.send("normal", {})
        layer.send("mine!1", {})
        layer.requeue("normal", {})
        layer.requeue("mine!1", {})
        layer.group_add("chat", "normal")
        layer.flush()
        assert [layer.receive_batch(MIXED, 5) for _ in range(2)] == [[], []]
        assert layer.group_channels("chat") == []
        assert layer.global_statistics() == statistics_of([0, 0, 0, 0, 0, 0])

    def test_what_cannot_be_decoded_is_counted_on_both_sides(self, local_layer_for, prefix, base, redis_layer):
        layer = local_layer_for(symmetric_encryption_keys=["key"])
        with IPCChannelLayer(prefix=prefix, path=base) as plain:
            plain.send("normal", {"n": 1})
        redis_layer.send("mine!1", {"n": 1})
        assert [layer.receive_batch(MIXED, 5) for _ in range(2)] == [[], []]
        assert layer.undecodable_count == 2

    def test_it_is_usable_after_close(self, layer):
        layer.close()
        layer.send("normal", {"n": 1})
        layer.send("mine!1", {"n": 2})
        layer.close()
        assert layer.receive(["normal"]) == ("normal", {"n": 1})
        assert layer.receive(["mine!"]) == ("mine!1", {"n": 2})

    # A test runner may have threads, about which the child does nothing.
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_process_shares_both_sides(self, local_layer_for):
        layer = local_layer_for()
        layer.send("normal", {"n": 0})
        assert layer.receive_batch(MIXED, 1, 1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for channel in ("normal", "mine!1"):
                    layer.send(channel, {"pid": os.getpid()})
                status = 0
            finally:
                os._exit(status)
        received = [layer.receive_batch(MIXED, 1, 5) for _ in range(2)]
        assert os.waitpid(child, 0)[1] == 0
        assert sorted(received) == [[("mine!1", {"pid": child})], [("normal", {"pid": child})]]


class TestSettings:
    def test_the_local_layer_is_ipc_with_the_same_prefix(self, redis_server, prefix):
        settings = {"expiry": 7, "capacity": 9, "channel_capacity": {"a": 3}, "max_message_bytes": 1000}
        with RedisLocalChannelLayer(hosts=[redis_server.url], prefix=prefix, **settings) as layer:
            local = layer._local
            assert isinstance(local, IPCChannelLayer)
            assert (local.prefix, local.expiry, local.capacity) == (prefix, 7, 9)
            assert (local.get_capacity("a"), local.max_message_bytes) == (3, 1000)
            assert str(layer) == f"RedisLocalChannelLayer(hosts=[{redis_server.url}], local_layer={local})"

    def test_its_config_goes_before_the_shared_settings(self, local_layer_for):
        local = {"BACKEND": "asgi_redis.InMemoryChannelLayer", "CONFIG": {"capacity": 4}}
        layer = local_layer_for(capacity=9, expiry=7, local_layer=local)
        assert (layer.get_capacity("normal"), layer.get_capacity("mine!1")) == (4, 9)
        assert layer._local.expiry == 7
        assert not layer.crosses_processes

    def test_messages_are_encrypted_on_both_sides(self, local_layer_for, prefix, base):
        layer = local_layer_for(symmetric_encryption_keys=["key"])
        layer.send("normal", {"n": 1})
        with IPCChannelLayer(prefix=prefix, path=base) as plain:
            assert plain.receive(["normal"]) == (None, None)
            assert plain.undecodable_count == 1

    @pytest.mark.parametrize(
        ("local_layer", "said"),
        [
            ("asgi_redis.IPCChannelLayer", "must be a layer that needs no server, or a dict"),
            (RedisChannelLayer(), "not RedisChannelLayer"),
            ("redis://:secret@host", "not a str"),
            ({"CONFIG": {"symmetric_encryption_keys": ["secret"]}}, r"not a dict of \['CONFIG'\]"),
            ({"BACKEND": "asgi_redis.IPCChannelLayer", "OPTIONS": {}}, r"not a dict of \['BACKEND', 'OPTIONS'\]"),
            ({"BACKEND": "IPCChannelLayer"}, "cannot import the BACKEND 'IPCChannelLayer' of local_layer"),
            ({"BACKEND": "asgi_redis.None"}, "cannot import the BACKEND 'asgi_redis.None' of local_layer"),
            ({"BACKEND": None}, "cannot import the BACKEND None"),
            (
                {"BACKEND": "asgi_redis.RedisChannelLayer"},
                "must be a layer that needs no server, like asgi_redis.IPCChannelLayer",
            ),
            (
                {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": []},
                "CONFIG of local_layer must be a dict.*not a list",
            ),
            (
                {"BACKEND": "asgi_redis.get_channel_layer"},
                "must be a layer that needs no server, like asgi_redis.IPCChannelLayer",
            ),
        ],
    )
    def test_a_local_layer_that_cannot_be_one_is_refused(self, local_layer, said):
        with pytest.raises(ConfigurationError, match=said):
            RedisLocalChannelLayer(local_layer=local_layer)

    def test_an_unknown_setting_is_named(self, local_layer_for):
        with pytest.raises(
            TypeError, match="RedisLocalChannelLayer has no setting 'local'; did you mean 'local_layer'"
        ):
            local_layer_for(local={})
        local = {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"max_byte": 1}}
        with pytest.raises(TypeError, match="IPCChannelLayer has no setting 'max_byte'"):
            local_layer_for(local_layer=local)

    def test_without_the_extra_of_the_default_it_is_named(self, monkeypatch):
        for module in ("lmdb", *(name for name in sys.modules if name.startswith("asgi_redis.engine.stores.lmdb"))):
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setitem(sys.modules, "lmdb", None)
        with pytest.raises(ImportError, match=r"asgi_redis\[ipc\]"):
            RedisLocalChannelLayer()

    def test_django_settings_make_it(self, redis_server, prefix):
        pytest.importorskip("django")
        program = """
import sys
from django.conf import settings
settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": "asgi_redis.RedisLocalChannelLayer", "CONFIG": {
    "hosts": [sys.argv[1]], "local_layer": {"BACKEND": "asgi_redis.InMemoryChannelLayer"}}}})
from asgi_redis import get_channel_layer
print(get_channel_layer())
"""
        said = subprocess.run(
            [sys.executable, "-c", program, redis_server.url],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout
        assert said.startswith("RedisLocalChannelLayer(hosts=")
        assert "InMemoryChannelLayer()" in said
