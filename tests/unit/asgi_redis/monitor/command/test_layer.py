"""Which layer a command looks at: by Django's settings, flags, or the environment."""

from __future__ import annotations

import pytest
import redis

from asgi_redis import IPCChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.monitor.command import layer as layer_module
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture
from tests.unit.asgi_redis.monitor.command.conftest import run_process

SETTINGS = """
SECRET_KEY = "x"
CONFIG = {{"hosts": [{url!r}], "capacity": 50}}
CHANNEL_LAYERS = {{
    "default": {{"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": CONFIG}},
    "aio": {{"BACKEND": "asgi_redis.aio.RedisChannelLayer", "CONFIG": CONFIG}},
    "stock": {{"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": CONFIG}},
    "memory": {{"BACKEND": "asgi_redis.InMemoryChannelLayer"}},
    "pubsub": {{"BACKEND": "asgi_redis.RedisPubSubChannelLayer", "CONFIG": CONFIG}},
}}
"""


@pytest.fixture
def project(tmp_path, monitored_server, layer):
    (tmp_path / "settings_of_test.py").write_text(SETTINGS.format(url=monitored_server.url))
    (tmp_path / "broken_of_test.py").write_text("1 // 0\n")
    layer.send("work", {})
    return tmp_path


def waiting(ended):
    return ended.json[0]["waiting"]


COMMAND = ("channels", "work", "--json")


class TestDjango:
    @pytest.mark.parametrize("alias", ["default", "aio", "stock"])
    def test_a_layer_of_a_project_by_its_alias(self, project, alias):
        assert waiting(run_process(*COMMAND, "--settings", "settings_of_test", "--layer", alias, cwd=project)) == 1

    def test_the_settings_of_the_environment(self, project):
        assert waiting(run_process(*COMMAND, cwd=project, DJANGO_SETTINGS_MODULE="settings_of_test")) == 1

    def test_settings_come_before_the_url_of_the_environment(self, project):
        env = {"DJANGO_SETTINGS_MODULE": "settings_of_test", "ASGI_REDIS_URL": "redis://127.0.0.1:1"}
        assert waiting(run_process(*COMMAND, cwd=project, **env)) == 1

    @pytest.mark.parametrize(
        ("flags", "complaint"),
        [
            (["--layer", "nothing"], "nothing"),
            (["--layer", "memory"], "InMemoryChannelLayer has its messages in one process"),
            (["--settings", "no_such_module"], "no_such_module"),
            (["--settings", "broken_of_test"], "ZeroDivisionError"),
        ],
    )
    def test_one_that_is_not_to_be_had_is_a_failure(self, project, flags, complaint):
        ended = run_process(*COMMAND, *flags, cwd=project, DJANGO_SETTINGS_MODULE="settings_of_test")
        assert ended.code == 1
        assert complaint in ended.errors
        assert "Traceback" not in ended.errors


class TestFlags:
    def test_several_urls_are_shards(self, run, three_redis_servers, layer_for, prefix):
        layer = layer_for(*three_redis_servers, stats_prefix="asgi-meta:")
        for _ in range(5):
            layer.send("work", {})
        urls = [word for server in three_redis_servers for word in ("--url", server.url)]
        assert waiting(run(*COMMAND, *urls, "--prefix", prefix)) == 5
        for between in (" ", ",", "\n"):
            variable = between.join(server.url for server in three_redis_servers)
            assert waiting(run(*COMMAND, "--prefix", prefix, ASGI_REDIS_URL=variable)) == 5

    def test_a_cluster(self, run, single_node_cluster, prefix):
        url = single_node_cluster.nodes[0].url
        with RedisClusterChannelLayer(hosts=[url], shards=2, prefix=prefix) as layer:
            layer.send("work", {})
            assert waiting(run(*COMMAND, "--url", url, "--cluster", "--shards", "2", "--prefix", prefix)) == 1

    def test_a_sentinel(self, run, sentinel, prefix):
        (host, port), service = sentinel.sentinels[0], sentinel.master_name
        with RedisSentinelChannelLayer(hosts=[(host, port)], services=[service], prefix=prefix) as layer:
            layer.send("work", {})
            flags = ["--sentinel", f"{host}:{port}", "--prefix", prefix]
            assert waiting(run(*COMMAND, *flags)) == 1
            assert waiting(run(*COMMAND, *flags, "--service", service)) == 1

    def test_the_password_of_the_servers_behind_a_sentinel_is_in_the_environment(self, run, monkeypatch):
        given = {}

        def make(**options):
            given.update(options)
            raise ConfigurationError("seen")

        monkeypatch.setattr(layer_module, "RedisSentinelChannelLayer", make)
        ended = run(*COMMAND, "--sentinel", "host:1", "--service", "one", ASGI_REDIS_PASSWORD="secret")
        assert (ended.code, given["hosts"], given["services"]) == (2, [("host", 1)], ["one"])
        assert given["connection_kwargs"] == {"password": "secret"}

    def test_the_processes_of_this_machine(self, run, base, prefix):  # noqa: F811
        with IPCChannelLayer(prefix=prefix, path=base) as layer:
            layer.send("work", {})
            assert waiting(run(*COMMAND, "--ipc", "--path", str(base), "--prefix", prefix)) == 1

    @pytest.mark.parametrize(
        ("flags", "complaint"),
        [
            ([], "which layer?"),
            (["--layer", "default"], "--settings"),
            (["--url", "redis://x", "--ipc"], "--url and --ipc each say which layer"),
            (["--url", "redis://x", "--settings", "x"], "--settings and --url each say which layer"),
            (["--url", "redis://x", "--cluster"], "shards is missing"),
            (["--url", "redis://x", "--shards", "2"], "--shards goes with --cluster"),
            (["--url", "redis://x", "--service", "x"], "--service goes with --sentinel"),
            (["--url", "redis://x", "--path", "x"], "--path goes with --ipc"),
            (["--ipc", "--cluster"], "--cluster goes with --url"),
            (["--url", "htp://x"], "htp"),
            (["--url", "redis://x", "--capacity", "0"], "capacity"),
            (["--sentinel", "x"], "HOST:PORT"),
            (["--settings", "x", "--prefix", "x"], "--prefix goes with --url"),
        ],
    )
    def test_flags_that_describe_no_layer_exit_with_2(self, run, flags, complaint):
        ended = run(*COMMAND, *flags)
        assert (ended.code, ended.output) == (2, "")
        assert complaint in ended.errors


def test_the_connections_of_a_command_have_a_name(layer, monitored_server):
    """``CLIENT LIST`` tells them from those of workers."""
    client = redis.Redis.from_url(monitored_server.url, protocol=2, decode_responses=True)
    with client, client.monitor() as commands:
        assert run_process("ping", ASGI_REDIS_URL=monitored_server.url).code == 0
        assert any("setname asgi-redis:monitor:" in commands.next_command()["command"].lower() for _ in range(50))
