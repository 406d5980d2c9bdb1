"""``asgi-redis monitor --web``: a process that serves the page, and ends in good order."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.monitor.command.web import address
from tests.support.waiting import eventually
from tests.support.workers.processes import WorkerProcess


def get(url: str, path: str) -> bytes:
    with closing(http.client.HTTPConnection(url, timeout=20)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()


@pytest.mark.native("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_page_until_a_signal(
    number: int, redis_server: RedisServer, layer_for: Callable[..., RedisChannelLayer], tmp_path: Path
) -> None:
    layer = layer_for(redis_server)
    layer.send("mail", {})
    command = [sys.executable, "-m", "asgi_redis", "monitor", "--web", "0", "--prefix", layer.prefix]
    env = {"ASGI_REDIS_URL": redis_server.url}
    with WorkerProcess([*command, "--allow-actions"], tmp_path, env=env) as process:
        found = eventually(lambda: re.search(r"at http://(127\.0\.0\.1:\d+)/", process.log), timeout=30)
        assert b"<h1>Channels</h1>" in get(found[1], "/")
        facts: Any = json.loads(get(found[1], "/facts"))
        # Other tests may have counters there, which all prefixes share.
        assert [row["channel"] for row in facts["snapshot"]["channels"] if row["waiting"]] == ["mail"]
        assert facts["may"] == {"act": True, "read": False}
        process.signal(number)
        assert process.wait() == 0, process.log
        assert "warning" not in process.log
        assert "Traceback" not in process.log


def test_another_address_than_loopback_is_warned_of(redis_server: RedisServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asgi_redis", "monitor", "--web", "0.0.0.0:0", "--url", redis_server.url]
    with WorkerProcess(command, tmp_path) as process:
        eventually(lambda: "http://0.0.0.0:" in process.log, timeout=30)
        assert "warning: there is no login" in process.log


def test_an_address_that_is_taken_is_an_error(run: Any, redis_server: RedisServer) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = run("monitor", "--web", str(port), "--url", redis_server.url)
    assert ended.code == 1
    assert ended.errors == f"asgi-redis: cannot serve the page on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("flags", [["--content"], ["--allow-actions"], ["--web", "0", "--once"]])
def test_flags_that_do_not_go_together_are_refused(run: Any, flags: list[str]) -> None:
    ended = run("monitor", "--url", "redis://127.0.0.1:1", *flags)
    assert ended.code == 2
    assert "--web" in ended.errors


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("8001", ("127.0.0.1", 8001)),
        (":8001", ("127.0.0.1", 8001)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("monitor.example:0", ("monitor.example", 0)),
    ],
)
def test_an_address_has_a_port_and_maybe_a_host(text: str, where: tuple[str, int]) -> None:
    assert address(text) == where


@pytest.mark.parametrize("text", ["", "host", "host:", "70000", "-1", "1.5", "٣", "host:port"])
def test_what_is_none_is_refused(run: Any, text: str) -> None:
    assert run("monitor", f"--web={text}").code == 2
