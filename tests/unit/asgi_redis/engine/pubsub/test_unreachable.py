"""Redis cannot be reached, hangs, or refuses to subscribe."""

from __future__ import annotations

import time

import pytest
import redis
from redis.exceptions import ConnectionError, RedisError, ResponseError

from asgi_redis.engine.pubsub import listener as listening
from tests.support.pubsub.subscribers import DISCONNECT, NOTICES, RECONNECT, outages
from tests.support.servers import pause, resume
from tests.support.waiting import eventually


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
        monkeypatch.setattr(listening, "_CHECK_SECONDS", 0.1)
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
        monkeypatch.setattr(listening, "_CHECK_SECONDS", 0.05)
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
        assert list(layer.subscriptions.inboxes) == [channel]
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
