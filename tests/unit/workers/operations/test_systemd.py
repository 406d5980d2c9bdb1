"""What systemd is told, by a socket that stands in for its own."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.support.workers.stand_ins import stand_in
from tests.unit.workers.operations.conftest import Start
from workers.exceptions import ConfigurationError
from workers.operations.liveness import WorkerState
from workers.operations.systemd import SystemdNotifier, notifier_from


class Supervisor:
    """The other end; ``lines`` are all that it has been told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)
        self._lines: list[str] = []

    @property
    def lines(self) -> list[str]:
        while True:
            try:
                self._lines += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self._lines


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(str(tmp_path / "notify"))
    yield supervisor
    supervisor.socket.close()


@pytest.fixture
def abstract() -> Iterator[Supervisor]:
    supervisor = Supervisor(f"@asgi-redis-{uuid.uuid4().hex}")
    yield supervisor
    supervisor.socket.close()


def test_it_is_ready_when_it_pops_and_says_when_it_stops(
    start: Start, fresh_redis_server: RedisServer, supervisor: Supervisor, prefix: str, notes: Notes
) -> None:
    server = fresh_redis_server
    server.stop()
    worker = start("--threads", "1", server=server, NOTIFY_SOCKET=supervisor.address)
    eventually(lambda: "does not serve messages" in worker.log, timeout=20)
    # What it says at its first look, not before it.
    eventually(lambda: any(line.startswith("STATUS=Waiting for Redis; ") for line in supervisor.lines))
    assert "READY=1" not in supervisor.lines
    server.start()
    eventually(lambda: "READY=1" in supervisor.lines)
    with RedisChannelLayer(hosts=[server.url], prefix=prefix) as layer:
        layer.send("linger", {"n": 1})
        eventually(lambda: notes["started"])
    eventually(lambda: "STATUS=Listening; 0 messages in progress, 0 done, 0 of them failed" in supervisor.lines)
    assert "STOPPING=1" not in supervisor.lines
    worker.signal(signal.SIGTERM)
    eventually(lambda: "STOPPING=1" in supervisor.lines)
    assert worker.running
    notes.go()
    assert worker.wait() == 0
    assert supervisor.lines.count("READY=1") == supervisor.lines.count("STOPPING=1") == 1
    assert "WATCHDOG=1" not in supervisor.lines


@pytest.mark.skipif(not hasattr(socket, "SO_PASSCRED"), reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_told_the_same_and_a_watchdog_is_fed(start: Start, abstract: Supervisor) -> None:
    worker = start(NOTIFY_SOCKET=abstract.address, WATCHDOG_USEC="1000000")
    eventually(lambda: "READY=1" in abstract.lines, timeout=20)
    eventually(lambda: abstract.lines.count("WATCHDOG=1") > 2)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_pulling_loop_that_hangs_feeds_no_watchdog(supervisor: Supervisor) -> None:
    worker = stand_in()
    hook = SystemdNotifier(supervisor.address, watchdog=0.001)
    hook.start(worker)
    hook.check(worker)
    assert supervisor.lines.count("WATCHDOG=1") == 1
    fed = time.monotonic()
    eventually(lambda: time.monotonic() > fed + 0.001)
    worker.hang()
    hook.check(worker)
    assert supervisor.lines.count("WATCHDOG=1") == 1
    hook.stop()


def test_a_watchdog_is_fed_at_twice_the_rate_that_it_wants(supervisor: Supervisor) -> None:
    worker = stand_in()
    hook = SystemdNotifier(supervisor.address, watchdog=60.0)
    for _ in range(3):
        hook.check(worker)
    assert supervisor.lines.count("WATCHDOG=1") == 1
    hook.stop()


def test_an_outage_shows_in_the_status(supervisor: Supervisor) -> None:
    worker = stand_in()
    hook = SystemdNotifier(supervisor.address)
    hook.check(worker)
    worker.popping = False
    hook.check(worker)
    hook.check(worker)
    status = [line.partition(";")[0] for line in supervisor.lines if line.startswith("STATUS=")]
    assert status == ["STATUS=Listening", "STATUS=Waiting for Redis"]
    hook.stop()


def test_a_pool_that_is_stuck_shows_in_the_status(supervisor: Supervisor) -> None:
    hook = SystemdNotifier(supervisor.address, watchdog=0.001)
    for stuck in (False, True, True, False):
        hook.report(WorkerState(popping=True, pulls=not stuck, stuck=stuck))
    status = [line.partition(";")[0] for line in supervisor.lines if line.startswith("STATUS=")]
    assert status == ["STATUS=Listening", "STATUS=Stuck", "STATUS=Listening"]
    hook.stop()


def test_ready_is_said_again_until_it_is_heard(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = stand_in()
    hook = SystemdNotifier(str(tmp_path / "notify"))
    hook.check(worker)
    hook.check(worker)
    assert caplog.text.count("Cannot tell systemd") == 1
    supervisor = Supervisor(str(tmp_path / "notify"))
    hook.check(worker)
    hook.check(worker)
    assert supervisor.lines.count("READY=1") == 1
    hook.stop()
    supervisor.socket.close()


def test_without_systemd_there_is_nothing_to_tell() -> None:
    assert notifier_from({}) is None
    assert notifier_from({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1000"}) is None


@pytest.mark.parametrize(
    ("pid", "fed"), [({}, 1), ({"WATCHDOG_PID": str(os.getpid())}, 1), ({"WATCHDOG_PID": "1"}, 0)]
)
def test_a_watchdog_for_another_process_is_not_fed(supervisor: Supervisor, pid: dict[str, str], fed: int) -> None:
    hook = notifier_from({"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "1000000", **pid})
    assert hook is not None
    hook.check(stand_in())
    assert supervisor.lines.count("WATCHDOG=1") == fed
    hook.stop()


@pytest.mark.parametrize(
    "environment",
    [{"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}],
)
def test_an_environment_that_systemd_would_not_make_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"must be a"):
        notifier_from(environment)
