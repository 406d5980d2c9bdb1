"""The options of the IPC layer, missing packages, and the limits of messages and memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asgi_redis import ChannelFull, IPCChannelLayer, MessageTooLarge
from asgi_redis.exceptions import ConfigurationError
from tests.support.stores.lmdb_stores import run


class TestSettings:
    def test_an_unknown_one_is_named(self, layer_for):
        with pytest.raises(TypeError, match="IPCChannelLayer has no setting 'max_byte'; did you mean 'max_bytes'"):
            layer_for(max_byte=1 << 20)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"max_bytes": 1000}, "max_bytes must be a number of bytes, at least 1048576, not 1000"),
            ({"max_bytes": "64M"}, "max_bytes"),
            ({"max_bytes": True}, "max_bytes"),
            ({"max_message_bytes": 0}, "max_message_bytes"),
            ({"max_message_bytes": 40 << 20}, "at most half of max_bytes, 33554432, not 41943040"),
            ({"prefix": ""}, "prefix"),
            ({"expiry": 0}, "expiry"),
            ({"symmetric_encryption_keys": "abc"}, "symmetric_encryption_keys"),
        ],
    )
    def test_one_that_cannot_work_is_refused(self, layer_for, settings, message):
        with pytest.raises(ConfigurationError, match=message):
            layer_for(**settings)

    def test_prefixes_keep_layers_apart(self, layer_for):
        one, other = layer_for(prefix="one"), layer_for(prefix="other")
        one.send("a", {"n": 1})
        assert other.receive(["a"]) == (None, None)
        assert layer_for(prefix="one").receive(["a"]) == ("a", {"n": 1})

    def test_stores_are_in_memory_unless_told_otherwise(self):
        layer = IPCChannelLayer(prefix="never used")
        assert f"asgi-redis-ipc-{os.geteuid()}" in str(layer)
        if Path("/dev/shm").is_dir():
            assert str(layer).startswith("IPCChannelLayer(path='/dev/shm/")

    def test_a_key_is_not_in_what_it_shows(self, layer_for):
        assert "secret" not in str(layer_for(symmetric_encryption_keys=["secret"]))

    def test_without_lmdb_it_names_the_extra_and_the_rest_works(self):
        output = run(
            "import sys; sys.modules['lmdb'] = None\n"
            "import asgi_redis\n"
            "try:\n"
            "    asgi_redis.IPCChannelLayer()\n"
            "except ImportError as error:\n"
            "    print(error)"
        )
        assert output == 'IPCChannelLayer needs lmdb: pip install "asgi_redis[ipc]"\n'

    def test_importing_the_package_does_not_import_lmdb(self):
        assert run("import sys, asgi_redis; print('lmdb' in sys.modules)") == "False\n"


class TestLimits:
    def test_a_message_that_is_too_large_is_refused(self, layer_for):
        layer = layer_for(max_message_bytes=1000)
        with pytest.raises(MessageTooLarge, match="max_message_bytes is 1000"):
            layer.send("a", {"data": b"x" * 1000})

    def test_used_up_memory_is_a_full_channel_and_can_be_read(self, layer_for):
        layer = layer_for(max_bytes=1 << 20, capacity=10**6)

        def send_for_ever():
            while True:
                layer.send("a", {"data": b"x" * 1000})

        with pytest.raises(
            ChannelFull, match=r"no room .* on channel a: the memory of IPCChannelLayer\(.*\) is used up"
        ):
            send_for_ever()
        sent = layer.channel_statistics("a")["messages_pending"]
        assert 300 < sent < 1000
        for _ in range(sent):
            assert layer.receive(["a"])[0] == "a"
        layer.send("a", {"n": 1})

    def test_the_largest_message_that_is_allowed_can_be_sent(self, layer):
        layer.send("a", {"data": b"x" * (8 * 1024 * 1024 - 100)})
        assert len(layer.receive(["a"])[1]["data"]) == 8 * 1024 * 1024 - 100
