"""The guide to security: its users suffice for what they are for, and may do no more."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from asgi_redis import ChannelFull, RedisChannelLayer, RedisPubSubChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.monitor import Monitor
from tests.support.guides import REDIS, Guide
from tests.support.servers import TLSServer
from tests.support.waiting import eventually
from workers import Worker, route

pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]
PASSWORDS = "Give the passwords to the processes"


ROLES = "Make a user for each role"


def add_users(server: RedisServer) -> None:
    """Run the page's commands that make users with the rights of roles."""
    commands = [shlex.split(line) for line in Guide("secure.rst", ROLES).commands() if "ACL SETUSER" in line]
    names = [words[3] for words in commands]
    assert names == ["worker", "producer", "eyes", "admin", "default"]
    with redis.Redis(unix_socket_path=str(server.unix_socket), protocol=2) as admin:
        for words in commands[:3]:
            admin.execute_command(*words[1:])


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        if server.version.startswith(("5.", "6.0.")):
            pytest.skip("an older server has no users, or no rules for channels")
        add_users(server)
        yield server


@pytest.fixture
def url_of(server: RedisServer) -> Callable[[str], str]:
    return lambda user: f"redis://{user}:{user}-password@{server.host}:{server.port}/0"


@pytest.fixture
def layer_of(url_of: Callable[[str], str]) -> Iterator[Callable[[str], RedisChannelLayer]]:
    layers = []

    def make(user: str) -> RedisChannelLayer:
        layers.append(RedisChannelLayer(hosts=[url_of(user)]))
        return layers[-1]

    yield make
    layers[0].flush()
    for layer in layers:
        layer.close()


def refused(url: str, *command: str) -> bool:
    with redis.Redis.from_url(url, protocol=2) as client:
        try:
            client.execute_command(*command)
        except redis.exceptions.NoPermissionError:
            return True
        except redis.exceptions.ResponseError as error:
            return "can't run this command" in str(error) or "has no permissions" in str(error)  # Redis, Valkey
    return False


def test_the_worker_runs(layer_of: Any, caplog: pytest.LogCaptureFixture) -> None:
    layer, done = layer_of("worker"), []
    layer.group_add("all", "jobs")
    worker = Worker(layer, [route("jobs", lambda message: done.append(message["n"]))])
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        layer.send("jobs", {"n": 1})
        layer.send_group("all", {"n": 2})
        layer.delayed.send("jobs", {"n": 3}, 0.1)
        assert eventually(lambda: sorted(done) == [1, 2, 3], 20)
    finally:
        worker.quiet()
        thread.join()
    assert layer.channel_statistics("jobs")["messages_count"] == 3
    assert layer.group_channels("all") == ["jobs"]
    layer.group_discard("all", "jobs")
    own = f"own.{layer.client_prefix}!1"
    layer.send(own, {})
    assert layer.receive([own.partition("!")[0] + "!"], block=True) == (own, {})
    assert [record.getMessage() for record in caplog.records if "permission" in record.getMessage()] == []


def test_the_worker_listens_to_pubsub(url_of: Callable[[str], str]) -> None:
    with RedisPubSubChannelLayer(hosts=[url_of("worker")]) as layer:
        own = layer.new_channel()
        layer.send(own, {"n": 1})
        assert layer.receive([own], block=True) == (own, {"n": 1})


@pytest.mark.parametrize(
    "command",
    [
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["KEYS", "*"],
        ["ACL", "LIST"],
        ["SCRIPT", "FLUSH"],
        ["SUBSCRIBE", "chat"],
        ["GET", "session"],
        ["SET", "session", "1"],
        ["EVAL", "return redis.call('GET', KEYS[1])", "1", "session"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_worker_may_not(url_of: Callable[[str], str], command: list[str]) -> None:
    assert refused(url_of("worker"), *command)


def test_the_producer_sends_to_one_channel(layer_of: Any, server: RedisServer) -> None:
    worker, producer = layer_of("worker"), layer_of("producer")
    with redis.Redis(port=server.port or 0, protocol=2) as client:
        client.zadd("asgithumbnails", {b"long expired": 1})
    for number in range(100):
        producer.send("thumbnails", {"n": number})
    with pytest.raises(ChannelFull):
        producer.send("thumbnails", {"n": 100})
    assert len(worker.receive_batch(["thumbnails"], 200)) == 100
    producer.send("thumbnails", {})
    for call in (lambda: producer.send("other", {}), lambda: producer.send_group("all", {})):
        with pytest.raises(redis.exceptions.ResponseError):
            call()
    assert worker.receive(["other"]) == (None, None)
    with pytest.raises(redis.exceptions.NoPermissionError):
        producer.delayed.send("thumbnails", {}, 1)


def asgi_redis(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asgi_redis", *arguments, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_eyes_see_and_change_nothing(layer_of: Any, url_of: Callable[[str], str]) -> None:
    worker, url = layer_of("worker"), url_of("eyes")
    worker.send("jobs", {"n": 1})
    picture = asgi_redis(url, "monitor", "--once")
    assert (picture.returncode, picture.stderr) == (0, "")
    assert "jobs" in picture.stdout
    assert "jobs" in asgi_redis(url, "peek", "jobs", "--content").stdout
    assert asgi_redis(url, "purge", "jobs", "--yes").returncode == 1
    assert asgi_redis(url, "send", "jobs", "{}").returncode == 1
    script = "return redis.call('DEL', KEYS[1])"
    assert refused(url, "EVAL", script, "1", "asgijobs")
    assert worker.receive(["jobs"]) == ("jobs", {"n": 1})


def test_the_eyes_may_name_their_connections(layer_of: Any, server: RedisServer) -> None:
    with Monitor(layer_of("eyes")) as monitor, redis.Redis(port=server.port or 0, protocol=2) as client:
        monitor.wait(lambda picture: picture["complete"], timeout=60)
        names = [one["name"] for one in client.client_list() if one["user"] == "eyes"]
        assert [name.split(":")[0] for name in names] == ["asgi-redis"] * len(names) != []


def test_a_password_is_changed_in_between(server: RedisServer) -> None:
    with RedisServer() as own:
        add_users(own)
        url = f"redis://worker:{{}}@{own.host}:{own.port}/0"
        old = RedisChannelLayer(hosts=[url.format("worker-password")])
        old.send("jobs", {})
        commands = Guide("secure.rst", "Change a password without an outage").commands()
        as_admin = "redis-cli --user admin --askpass "
        add, remove, _ = (shlex.split(command.removeprefix(as_admin)) for command in commands)
        with redis.Redis(port=own.port or 0, protocol=2) as admin:
            admin.execute_command(*add)
            RedisChannelLayer(hosts=[url.format("new-password")]).send("jobs", {})
            RedisChannelLayer(hosts=[url.format("worker-password")]).send("jobs", {})
            admin.execute_command(*remove)
        old.send("jobs", {})
        with pytest.raises(redis.exceptions.AuthenticationError):
            RedisChannelLayer(hosts=[url.format("worker-password")]).send("jobs", {})


def hosts_of(code: str, **replaced: str) -> list[Any]:
    """Run settings of the page; return the hosts."""
    for old, new in replaced.items():
        assert old
        code = code.replace(*new.split("->"))
    names: dict[str, Any] = {}
    exec(compile(code, "secure.rst", "exec"), names)
    return names["CHANNEL_LAYERS"]["default"]["CONFIG"]["hosts"] if "CHANNEL_LAYERS" in names else [names["HOST"]]


def test_a_password_comes_from_a_file_or_a_service(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("worker-password\n")
    address = f"{REDIS}->redis://{server.host}:{server.port}/0"
    section = Guide("secure.rst", PASSWORDS)
    hosts = hosts_of(
        section.code("/run/secrets/redis_password"),
        address=address,
        path=f"/run/secrets/redis_password->{tmp_path / 'password'}",
    )
    hosts += hosts_of(
        section.code("CredentialProvider"), address=address, token="a token that was just fetched->worker-password"
    )
    for host in hosts:
        with RedisChannelLayer(hosts=[host]) as layer:
            assert layer.receive(["nothing"]) == (None, None)
            assert "worker-password" not in f"{layer} {layer!r}"


def test_tls_with_a_private_authority(tls_server: TLSServer) -> None:
    section = Guide("secure.rst", "Use TLS")
    address = tls_server.url.partition("?")[0]
    hosts = hosts_of(
        section.code("ssl_ca_certs", language="python"),
        address=f"{REDIS.replace('redis', 'rediss', 1)}->{address}",
        authority=f"/etc/redis/ca.crt->{tls_server.ca_file}",
    )
    with RedisChannelLayer(hosts=hosts) as layer:
        assert layer.receive(["nothing"]) == (None, None)
    with pytest.raises(redis.exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        RedisChannelLayer(hosts=[address]).receive(["nothing"])


def test_redis_takes_the_lines_of_its_configuration(tls_server: TLSServer, tmp_path: Path) -> None:
    (lines,) = [block.text for block in Guide("secure.rst").blocks() if block.caption == "redis.conf"]
    (tls,) = [block.text for block in Guide("secure.rst").blocks() if block.caption == "tls.conf"]
    folder = Path(tls_server.ca_file).parent
    for name in ("ca.crt", "redis.crt", "redis.key"):
        file = folder / ("redis.key" if name == "redis.key" else "redis.crt")
        tls = tls.replace(f"/etc/redis/{name}", str(file))
    users = tmp_path / "users.acl"
    users.touch()
    lines = lines.replace("/etc/redis/users.acl", str(users))
    pairs = [shlex.split(line) for line in [*lines.splitlines(), *tls.splitlines()]]
    options = [(name, value) for name, value in pairs if name not in ("port", "tls-port", "bind")]
    with (
        RedisServer(options) as server,
        RedisChannelLayer(
            hosts=[{"address": server.url.partition("?")[0], "ssl_ca_certs": tls_server.ca_file}]
        ) as layer,
    ):
        assert layer.receive(["nothing"]) == (None, None)
