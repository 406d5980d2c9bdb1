"""Workers whose Redis is there, and lets nobody in for a while."""

from __future__ import annotations

import signal

import pytest
import redis

from asgi_redis.embedded import RedisServer, RedisServerError
from tests.support.faults.load import outages, tells_of_outages_only
from tests.support.waiting import eventually


class TestLoading:
    @pytest.fixture
    def server(self):
        try:
            with RedisServer({"key-load-delay": 500, "loading-process-events-interval-bytes": 1024}) as server:
                yield server
        except RedisServerError as error:
            if "Bad directive" not in str(error):
                raise
            pytest.skip("before Redis 7 a server cannot be made to load slowly")

    def test_a_redis_that_is_loading_is_waited_for(self, start, layer, server, notes, monkeypatch):
        worker = start()
        with redis.Redis(port=server.port, protocol=2) as client:
            client.eval("for i = 1, 40000 do redis.call('SET', i, i) end", 0)
            client.save()
            server.kill()
            monkeypatch.setattr(server, "_answers", lambda: True)  # not to be waited for until it has loaded
            server.start()
            late = start()
            eventually(lambda: "does not serve messages (BusyLoadingError: " in late.log)
            assert outages(worker) == outages(late) == (1, 0)
            client.config_set("key-load-delay", 0)
        for one in (worker, late):
            eventually(lambda one=one: outages(one) == (1, 1))
        for n in range(40):
            layer.send("work", {"n": n, "seconds": 0.01})
        eventually(lambda: notes.numbers("done") == list(range(40)))
        for one in (worker, late):
            one.signal(signal.SIGTERM)
            assert one.wait() == 0
            assert " 0 messages done" not in one.log
            assert tells_of_outages_only(one, server, 1)


class TestPassword:
    @pytest.fixture
    def server(self):
        users = [("user", ["worker", "on", ">right", "~*", "&*", "+@all"])]
        with RedisServer(users) as server:
            yield server

    def test_a_password_that_was_changed_is_waited_for_until_it_is_put_back(self, start, layer, server, notes):
        worker = start(url=server.url.replace("://", "://worker:right@"))
        layer.send("work", {"n": 0})
        eventually(lambda: notes["done"] == ["0"])
        with redis.Redis(port=server.port, protocol=2) as admin:
            admin.execute_command("ACL", "SETUSER", "worker", "resetpass", ">wrong")
            admin.execute_command("CLIENT", "KILL", "USER", "worker")
            eventually(lambda: outages(worker) == (1, 0))
            eventually(lambda: admin.acl_log()[0]["count"] >= 3)
            layer.send("work", {"n": 1})
            assert worker.running
            assert notes["done"] == ["0"]
            admin.execute_command("ACL", "SETUSER", "worker", "resetpass", ">right")
        eventually(lambda: notes["done"] == ["0", "1"])
        eventually(lambda: outages(worker) == (1, 1))
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert tells_of_outages_only(worker, server, 1)
        assert "right" not in worker.log
