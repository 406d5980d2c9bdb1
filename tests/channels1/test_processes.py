"""How the processes of the classic stack start and stop, and what they make of a Redis that goes away."""

from __future__ import annotations

import http.client
import json
import signal
import time
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from benchmarks.channels1.client import Http
from tests.channels1.stack import DJANGO, Stack
from tests.support.waiting import eventually


@pytest.fixture
def stack(redis_server: RedisServer, prefix: str, database: Path, tmp_path: Path):
    with Stack({"hosts": [redis_server.url], "prefix": prefix}, database, tmp_path) as stack:
        yield stack


def test_daphne_uses_its_native_twisted_mode(stack):
    daphne = stack.daphne()
    daphne.says("Using native Twisted mode on channel layer")


def test_daphne_in_busy_loop_mode_serves_too(stack):
    daphne = stack.daphne("--force-sync")
    daphne.says("Using busy-loop synchronous mode")
    stack.worker("theirs")
    with Http(stack.port) as connection:
        assert connection.get() == b"hello"


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_sigterm_ends_an_idle_worker_at_once(stack, whose, threads):
    """A WorkerGroup ends by the SystemExit of its signal handler, which has to get through a blocking receive."""
    worker = stack.worker(whose, "--threads", threads)
    stack.daphne()
    with Http(stack.port) as connection:
        assert connection.get() == b"hello"
    started = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
    assert time.monotonic() - started < 3, "a blocking receive takes 5 s"


def test_sigterm_ends_daphne_at_once(stack):
    daphne = stack.daphne()
    stack.worker("ours")
    with stack.websocket("/echo"):
        started = time.monotonic()
        daphne.signal(signal.SIGTERM)
        assert daphne.wait() == 0, daphne.log
        assert time.monotonic() - started < 3


def test_our_worker_sends_channels_ready_signals_once_and_in_their_order(stack):
    worker = stack.worker("ours")
    worker.says("signal: worker_ready")
    assert worker.log.count("signal: worker_process_ready") == worker.log.count("signal: worker_ready") == 1
    assert worker.log.index("worker_process_ready") < worker.log.index("worker_ready")


def test_monitors_see_our_worker_on_the_layer_of_channels(stack):
    worker = stack.worker("ours")
    layer = RedisChannelLayer(**json.loads(stack.env["TEST_LAYER"]))
    (entry,) = eventually(layer.registry.processes)
    assert entry.report["role"] == "worker"
    assert "ERROR" not in worker.log


def test_static_files_come_from_our_worker_in_debug_mode(stack):
    stack.daphne()
    stack.worker("ours", env={"TEST_DEBUG": "1"})
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    connection.request("GET", "/static/hello.txt")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"from a static file\n")
    connection.close()


def test_another_routing_may_be_named(stack):
    worker = stack.worker("ours", "--routing", "tests.channels1.project.routing.chat_routing")
    assert "jobs" not in worker.log
    assert "websocket.receive" in worker.log


def test_delayed_messages_may_be_left_to_channels_own_process(stack):
    stack.daphne()
    stack.worker("ours", "--exclude-channels", "asgi.delay")
    stack.start("rundelay", *DJANGO, "rundelay", "--sleep", "0.05").says("Running delay")
    with stack.websocket("/ask") as client:
        client.send("delay")
        assert client.receive() == "'late' []"


@pytest.mark.parametrize(
    ("options", "env", "said"),
    [
        (["--layer", "second"], {}, "no channel layer 'second' in CHANNEL_LAYERS; it has 'default'"),
        ([], {"TEST_BACKEND": "no.such.Layer"}, "cannot import the BACKEND 'no.such.Layer' of"),  # by the check
        ([], {"TEST_LAYER": '{"hots": []}'}, "hots"),
        (
            [],
            {"TEST_BACKEND": "asgiref.inmemory.ChannelLayer", "TEST_LAYER": "{}"},
            "its BACKEND has to be asgi_redis.RedisChannelLayer",
        ),
        (["--routing", "no.such.routing"], {}, "no.such.routing"),
        (["--processes", "2", "--routing", "no.such.routing"], {}, "no.such.routing"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(stack, options, env, said):
    ended = stack.manage("runworker", *options, env={"TEST_OUR_WORKER": "1", **env})
    assert ended.returncode == 1
    assert said in ended.stdout
    assert "Traceback" not in ended.stdout


def test_daphne_keeps_its_sockets_while_redis_is_away_and_goes_on_after(
    fresh_redis_server: RedisServer, prefix: str, database: Path, tmp_path: Path
):
    with Stack({"hosts": [fresh_redis_server.url], "prefix": prefix}, database, tmp_path) as stack:
        daphne = stack.daphne()
        worker = stack.worker("ours", "--threads", "2")
        with stack.websocket("/echo") as client:
            client.send("before")
            assert client.receive() == "before"
            fresh_redis_server.kill()
            daphne.says("Error trying to receive messages")
            eventually(lambda: "Redis" in worker.log)
            with Http(stack.port) as connection, pytest.raises(ConnectionError):
                connection.get()
            fresh_redis_server.start()
            client.send("after")
            assert client.receive() == "after"
        with Http(stack.port) as connection:
            assert connection.get() == b"hello"
        assert daphne.running
        assert worker.running
