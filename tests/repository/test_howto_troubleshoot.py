"""The guide to troubleshooting: the layer, the worker or Redis says each text of it in that case."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.clusters import Cluster
from tests.support.guides import Guide, Project
from tests.support.servers import ACL_USER, TLSServer, pause, resume
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, WorkerProcess
from workers import Channel, Worker, route
from workers.runtime.stopping import ExitCode

pytestmark = [pytest.mark.native("processes and logs"), pytest.mark.timeout(240)]
PAGE = Guide("troubleshoot.rst")


class Texts:
    """The texts of sections; ``left`` are those that nothing has said yet."""

    def __init__(self, *sections: str) -> None:
        guides = [Guide("troubleshoot.rst", section) for section in sections]
        blocks = [block for guide in guides for block in guide.blocks("text")]
        self.left = {line for block in blocks for line in block.text.splitlines() if line}
        assert self.left

    def check(self, text: str, server: RedisServer | None = None) -> None:
        """Find the lines of the page that the text has in it; there is one at least."""
        if server is not None:
            text = text.replace(f"{server.host}:{server.port}", "localhost:6379")
        found = {line for line in self.left if re.sub(r" ?\.\.\.$", "", line) in text}
        assert found, f"the page does not have: {text}"
        self.left -= found

    def check_log(self, caplog: pytest.LogCaptureFixture, server: RedisServer | None = None) -> None:
        """Find lines of the page in the log, where a thread may write them a moment later."""
        known = set(self.left)

        def said() -> bool:
            text = "\n".join(caplog.messages)
            if server is not None:
                text = text.replace(f"{server.host}:{server.port}", "localhost:6379")
            self.left = {line for line in known if re.sub(r" ?\.\.\.$", "", line) not in text}
            return self.left != known

        eventually(said, timeout=60)

    def check_error(
        self, kind: type[BaseException], call: Callable[[], object], server: RedisServer | None = None
    ) -> None:
        with pytest.raises(kind) as raised:
            call()
        self.check(str(raised.value), server)


HASTY = {"socket_connect_timeout": 0.3}


def stopped_server() -> RedisServer:
    with RedisServer() as server:
        return server


def layer_at(address: object, **settings: Any) -> RedisChannelLayer:
    return RedisChannelLayer(hosts=[address], **settings)


def send(address: object) -> Callable[[], None]:
    return lambda: layer_at(address).send("thumbnails", {"id": 42})


@pytest.fixture
def server(fresh_redis_server: RedisServer) -> RedisServer:
    if fresh_redis_server.version.startswith(("5.", "6.")):
        pytest.skip("older servers have other words")
    with redis.Redis(port=fresh_redis_server.port, protocol=2) as told:
        if "valkey_version" in told.info("server"):
            pytest.skip("Valkey has other words")
    return fresh_redis_server


@pytest.fixture
def client(server: RedisServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.unix_socket), protocol=2)


def test_channels(server: RedisServer, client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    texts = Texts("A message never arrives", "ChannelFull", "WRONGTYPE")
    check_consumers(texts, server, caplog)
    with layer_at(server.url) as layer, caplog.at_level(logging.INFO, "asgi_redis"):
        for number in range(100):
            layer.send("thumbnails", {"id": number})
        texts.check_error(layer.ChannelFull, send(server.url))
        for member in ("thumbnails", "other"):
            layer.group_add("editors", member)
        assert layer.send_group("editors", {}) == 1
        texts.check_log(caplog)
        client.delete("asgithumbnails")
        client.set("asgithumbnails", "text")
        texts.check_error(redis.ResponseError, send(server.url), server)
        reader = layer.reader()
        reader.receive_batch(["thumbnails"], 1, 0.01)
        texts.check_log(caplog, server)
        client.delete("asgithumbnails")
        eventually(lambda: reader.receive_batch(["thumbnails"], 1, 0.01) or "is a queue" in caplog.text, 60)
        texts.check_log(caplog, server)
        reader.close()
        layer_at(server.url, symmetric_encryption_keys=["a key"]).send("thumbnails", {})
        assert layer_at(server.url, symmetric_encryption_keys=["another"]).receive(["thumbnails"]) == (None, None)
        texts.check_log(caplog)
    assert not texts.left


def test_refusals(server: RedisServer, client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    texts = Texts("Redis refuses messages")
    client.config_set("maxmemory", 1)  # an empty Redis 8 needs less than a megabyte
    texts.check_error(redis.exceptions.OutOfMemoryError, send(server.url))
    client.config_set("maxmemory", "0")
    client.replicaof("127.0.0.1", "1")
    texts.check_error(redis.exceptions.ReadOnlyError, send(server.url))
    client.execute_command("REPLICAOF", "NO", "ONE")
    (server.directory / "dump.rdb" / "in the way").mkdir(parents=True)
    client.config_set("save", "1 1")
    client.bgsave()
    eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", timeout=60)
    texts.check_error(redis.ResponseError, send(server.url))
    client.config_set("save", "")
    client.config_set("maxmemory-policy", "allkeys-lru")
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        send(server.url)()
    texts.check_log(caplog, server)
    assert not texts.left


def check_users(texts: Texts, server: RedisServer, client: redis.Redis) -> None:
    url = f"redis://{{}}:pw@{server.host}:{server.port}/0"
    for name, *rules in (["narrow", "~asgi*", "+@all", "-evalsha", "-eval"], ["elsewhere", "~other*", "+@all"]):
        client.execute_command("ACL", "SETUSER", name, "on", ">pw", *rules)
        texts.check_error(redis.exceptions.NoPermissionError, send(url.format(name)))


def check_a_hanging_server(texts: Texts, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    pause(server)
    try:
        with layer_at(f"redis://{server.host}:{server.port}/0") as layer:
            reader = layer.reader()
            eventually(lambda: reader.receive_batch(["thumbnails"], 1, 0.1) or "takes more than" in caplog.text, 60)
            reader.close()
    finally:
        resume(server)
    texts.check(next(message for message in caplog.messages if "takes more than" in message), server)


def test_connections(
    server: RedisServer,
    client: redis.Redis,
    acl_server: RedisServer,
    tls_server: TLSServer,
    single_node_cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = Texts("Redis cannot be reached")
    check_users(texts, server, client)
    acl, tls, node = acl_server, tls_server.server, single_node_cluster.nodes[0]
    stopped = stopped_server()
    address = f"redis://{stopped.host}:{stopped.port}/0"
    with layer_at(address) as layer, caplog.at_level(logging.WARNING, "asgi_redis"):
        layer.reader().receive_batch(["thumbnails"], 1, 0.1)
    texts.check_log(caplog, stopped)
    for kind, wrong, server_of in [
        (redis.ConnectionError, "redis://redis.invalid:6379/0", server),
        (redis.AuthenticationError, f"redis://{acl.host}:{acl.port}/0", acl),
        (redis.AuthenticationError, f"redis://{ACL_USER}:no@{acl.host}:{acl.port}/0", acl),
        (redis.ConnectionError, {"address": f"rediss://{server.host}:{server.port}/0", **HASTY}, server),
        (redis.ConnectionError, f"redis://{tls.host}:{tls.port}/0", tls),
        (redis.ConnectionError, f"rediss://{tls.host}:{tls.port}/0", tls),
        (RuntimeError, f"redis://{node.host}:{node.port}/0", node),
    ]:
        texts.check_error(kind, send(wrong), server_of)
    check_a_hanging_server(texts, server, caplog)
    assert not texts.left


def test_messages(server: RedisServer) -> None:
    texts = Texts("An error names a name or a message")
    layer = layer_at(server.url)
    for name, message in [
        ("thumb nails", {}),
        ("thumbnails", [1]),
        ("thumbnails", {"when": [object()]}),
        ("thumbnails", {"__asgi_channel__": 1}),
        ("thumbnails", {"a": b"x" * 9_000_000}),
    ]:
        texts.check_error(Exception, lambda name=name, message=message: layer.send(name, message))  # type: ignore[misc]

    async def awaits() -> None:
        await layer.send("thumbnails", {})  # type: ignore[func-returns-value]

    texts.check_error(TypeError, lambda: asyncio.run(awaits()))
    layer.close()
    assert not texts.left


def check_consumers(texts: Texts, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    layer = layer_at(server.url, capacity=1)

    def make_thumbnail(message: Any) -> None:
        Channel("log", channel_layer=layer).send({})
        raise ZeroDivisionError

    make_thumbnail.__module__, make_thumbnail.__qualname__ = "mysite.consumers", "make_thumbnail"
    worker = Worker(layer, [route("thumbnails", make_thumbnail, kind="^a$")], burst=True)
    layer.send("log", {})
    layer.send("thumbnails", {"kind": "a"})
    with caplog.at_level(logging.ERROR, "workers"):
        worker.run()
        layer.send("thumbnails", {"kind": "b"})
        Worker(layer, [route("thumbnails", make_thumbnail, kind="^a$")], burst=True).run()
    for message in caplog.messages:
        texts.check(message)
    layer.close()


JOBS = """
import time
from workers import route

def job(message):
    time.sleep(60)

channel_routing = [route("jobs", job)]
"""


def test_exit_codes(server: RedisServer, tmp_path: Path) -> None:
    texts = Texts("The worker does not start, or ends")
    texts.check_error(TypeError, lambda: RedisChannelLayer(expirey=3))  # type: ignore[call-arg]
    texts.check_error(ValueError, lambda: RedisChannelLayer(hosts="redis://localhost:6379/0"))
    (tmp_path / "jobs.py").write_text(JOBS)
    stopped = stopped_server()
    routing = ["--routing", "jobs.channel_routing"]
    with contextlib.ExitStack() as stack:

        def start(url: str, *flags: str) -> WorkerProcess:
            worker = WorkerProcess([*MODULE, *flags], tmp_path, tmp_path, {"ASGI_REDIS_URL": url})
            return stack.enter_context(worker)

        ending = [
            (1, start(server.url, "--routing", "jobs.nothing")),
            (1, start(server.url, "--routing", "nomodule.x")),
            (1, start(server.url, *routing, "--only-channels", "nope")),
            (2, start(server.url, *routing, "--treads")),
            (2, start("", *routing)),
            (5, start(f"redis://{stopped.host}:{stopped.port}/0", *routing, "--burst", "--burst-timeout", "1")),
        ]
        stopping = start(server.url, *routing, "--shutdown-timeout", "1")
        layer = stack.enter_context(layer_at(server.url))
        layer.send("jobs", {})
        eventually(lambda: layer.channel_statistics("jobs")["messages_pending"] == 0, 100)
        stopping.signal(15)
        for code, process in [(3, stopping), *ending]:
            assert process.wait(100) == code, process.log
            texts.check(process.log)
    assert not texts.left
    explained = re.findall(r"Exit code (\d):", Guide("troubleshoot.rst", "The worker does not start, or ends").prose)
    assert [int(code) for code in explained] == [code for code in ExitCode if code is not ExitCode.CLEAN]


def test_its_commands_run(tmp_path: Path, server: RedisServer) -> None:
    project = Project(tmp_path, server.url).add(Guide("send.rst", "Prepare the project"))
    commands = [shlex.split(line) for line in PAGE.commands()]
    calls = [words[1:] for words in commands if words[0] == "asgi-redis"]
    calls += [
        shlex.split(line)[1:] for line in re.findall(r"``(asgi-redis (?:peek|groups|purge)[^`]*)``", PAGE.prose)
    ]
    assert len(calls) > 10
    program = (
        "import json, sys\nfrom asgi_redis.__main__ import main\n"
        "print([main(words) for words in json.loads(sys.argv[1])])\n"
    )
    calls = [[*words, "--yes"] if words[0] == "purge" else words for words in calls]
    said = project.run("python", "-c", program, json.dumps(calls), DJANGO_SETTINGS_MODULE="mysite.settings")
    assert str([0] * len(calls)) in said
    (shown,) = [words for words in commands if words[0] == "python"]
    assert "'asgi'" in project.run(*shown, DJANGO_SETTINGS_MODULE="mysite.settings")
