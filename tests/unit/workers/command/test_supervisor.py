"""``--processes N``, mostly with processes that only behave like workers: those start in no time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.support.workers.stand_ins import stand_in
from tests.unit.workers.operations.test_systemd import Supervisor as Notified
from workers.command import processes, supervisor
from workers.command.arguments import WorkerOptions
from workers.command.processes import SupervisorLink, SupervisorSockets
from workers.command.supervisor import Supervisor
from workers.operations import systemd
from workers.operations.liveness import WorkerState, combined
from workers.runtime import stopping

pytestmark = pytest.mark.native("processes and signals of the system")

# Each line of the file "started" is a process. What one does is in one of the files "does.*": the first that is left.
CHILD = """
import json, os, signal, socket, sys, time
number, states, requests = map(int, os.environ.pop("ASGI_REDIS_PROCESS").split(":"))
assert "NOTIFY_SOCKET" not in os.environ
states, requests = socket.socket(fileno=states), socket.socket(fileno=requests)
folder = sys.argv[1] + "/"
def take():
    for name in sorted(name for name in os.listdir(folder) if name.startswith("does.")):
        try:
            os.rename(folder + name, folder + "taken." + name)
        except FileNotFoundError:
            continue
        return open(folder + "taken." + name).read().split()
    return ["serve"]
def note():
    with open(folder + "started", "a") as started:
        started.write(f"{number} {os.getpid()}\\n")
does = take()
if does[0] == "exit":
    note()
    os._exit(int(does[1]))
asked = []
def stop(*_):
    asked.append(1)
    if does[0] == "deaf" or (does[0] == "twice" and len(asked) < 2):
        return
    os._exit({"late": 3, "twice": 143}.get(does[0], 0))
signal.signal(signal.SIGTERM, stop)
stuck = does[-1] == "stuck"
if does[-1] != "imports":
    states.send(json.dumps([does[-1] != "waits", does[-1] not in ("hangs", "stuck"), 1, 2, 3, stuck]).encode())
note()
if does[0] == "end":
    states.send(b"null")
    os._exit(int(does[1]))
while True:
    request, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
    if not request:
        os._exit(9)
    if does[0] != "mute":
        text = "# HELP m text\\n# TYPE m counter\\nm{process=\\"%d\\"} 1\\n" % number
        if request == b"a":
            text += "# HELP layer text\\n# TYPE layer gauge\\nlayer 1\\n"
        text += "# EOF\\n" if does[0] != "broken" else ""
        with socket.socket(fileno=descriptors[0]) as answer:
            answer.sendall(text.encode())
"""


class Running:
    """A supervisor that is run by the test's main thread, and what a script in another one sees of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        (folder / "started").touch()
        command = [sys.executable, "-S", "-E", "-c", CHILD, str(folder)]
        monkeypatch.setattr(supervisor, "own_command", lambda _: command)

    def supervisor(self, does: list[str], **options: Any) -> Supervisor:
        """Returns one whose processes do these things, in the order in which they start; more of them serve."""
        for position, what in enumerate(does):
            (self.folder / f"does.{position:03}").write_text(what)
        return Supervisor(WorkerOptions(processes=3, **options))

    @property
    def started(self) -> list[tuple[int, int]]:
        """The number and the pid of each process so far."""
        lines = (self.folder / "started").read_text().splitlines()
        return [(int(number), int(pid)) for number, pid in map(str.split, lines)]

    def are(self, number: int) -> list[tuple[int, int]]:
        """Returns when so many processes have been started."""
        eventually(lambda: len(self.started) >= number, timeout=20)
        return self.started


def send_signal(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Running]:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "REPORT_SECONDS", 0.05)
    fleet = Running(tmp_path, monkeypatch)
    yield fleet
    for _, pid in fleet.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            pytest.fail(f"process {pid} is left")


def test_the_first_is_alone_until_it_listens_and_a_signal_stops_all(
    fleet: Running, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def script() -> None:
        fleet.are(3)
        send_signal()

    during_run(script)
    assert fleet.supervisor([]).run() == 0
    assert fleet.started[0][0] == 0
    assert sorted(number for number, _ in fleet.started) == [0, 1, 2]
    assert "Signal 15: stopping 3 worker processes" in caplog.text


@pytest.mark.parametrize("code", [1, 2, 5])
def test_where_none_can_start_one_of_them_tells(fleet: Running, code: int) -> None:
    assert fleet.supervisor([f"exit {code}"], burst=code == 5).run() == code
    assert len(fleet.started) == 1


def test_one_that_dies_is_replaced(fleet: Running, during_run: Any, caplog: pytest.LogCaptureFixture) -> None:
    def script() -> None:
        number, pid = fleet.are(3)[1]
        os.kill(pid, signal.SIGKILL)
        assert [started for started, _ in fleet.are(4)].count(number) == 2
        send_signal()

    during_run(script)
    assert fleet.supervisor([]).run() == 0
    assert caplog.text.count("has died with signal 9; another takes its place") == 1


@pytest.mark.parametrize("does", ["end 4", "exit 9", "exit 0"])
def test_where_they_keep_dying_it_fails(fleet: Running, does: str, caplog: pytest.LogCaptureFixture) -> None:
    assert fleet.supervisor([does] * 20).run() == 4
    assert len(fleet.started) < 10
    assert caplog.text.count("die again and again") == 1


def test_one_that_has_ended_in_good_order_is_replaced_any_number_of_times(fleet: Running, during_run: Any) -> None:
    def script() -> None:
        fleet.are(12)
        send_signal()

    during_run(script)
    assert fleet.supervisor(["end 0"] * 9).run() == 0


@pytest.mark.parametrize(("does", "code"), [("end 0", 0), ("end 3", 3), ("end 4", 4), ("end 5", 5), ("end 77", 4)])
def test_in_a_burst_none_is_replaced(fleet: Running, does: str, code: int) -> None:
    assert fleet.supervisor(["end 0", does, "end 0"], burst=True).run() == code
    assert len(fleet.started) == 3


def test_the_exit_code_is_that_of_those_that_do_not_end_well(fleet: Running, during_run: Any) -> None:
    def script() -> None:
        fleet.are(3)
        send_signal()

    during_run(script)
    assert fleet.supervisor(["serve", "late"]).run() == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_is_passed_on(
    fleet: Running, during_run: Any, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stopping, "SAME_SIGNAL_SECONDS", 0.05)

    def script() -> None:
        fleet.are(3)
        send_signal(number)
        eventually(lambda: "stopping 3 worker processes" in caplog.text)
        noticed = time.monotonic()
        eventually(lambda: time.monotonic() - noticed > 0.1)
        send_signal(number)

    during_run(script)
    assert fleet.supervisor(["twice"] * 3).run() == 128 + number
    assert "it is killed" not in caplog.text


def test_what_does_not_end_is_killed(fleet: Running, during_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "KILL_SECONDS", 0.1)

    def script() -> None:
        fleet.are(3)
        send_signal()

    during_run(script)
    assert fleet.supervisor(["serve", "deaf"], shutdown_timeout=0.1).run() == 3


@pytest.mark.parametrize("other", ["waits", "hangs", "serve"])
def test_all_together_are_ready_and_alive(
    fleet: Running, during_run: Any, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notified = Notified(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", notified.address)
    beat = tmp_path / "beat"
    beats: list[bool] = []
    monkeypatch.setattr(systemd, "STATUS_SECONDS", 0.05)

    def script() -> None:
        fleet.are(3)
        eventually(lambda: any("3 messages in progress" in line for line in notified.lines))  # it knows of all
        os.utime(beat, (0, 0))
        told = len(notified.lines)
        eventually(lambda: len(notified.lines) > told + 1)
        beats.append(beat.stat().st_mtime > 0)
        send_signal()

    during_run(script)
    assert fleet.supervisor(["serve", f"serve {other}"], heartbeat_file=str(beat)).run() == 0
    assert ("READY=1" in notified.lines) == (other != "waits")
    assert beats == [other != "hangs"]
    assert notified.lines.count("STOPPING=1") == 1
    notified.socket.close()


@pytest.mark.parametrize("does", ["late stuck", "deaf stuck", "serve stuck"])
def test_one_that_is_stuck_is_replaced_and_is_no_crash(
    fleet: Running, during_run: Any, does: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if does == "deaf stuck":
        monkeypatch.setattr(supervisor, "KILL_SECONDS", 0.1)

    def script() -> None:
        fleet.are(9)
        send_signal()

    during_run(script)
    assert fleet.supervisor([does] * 6, stuck_timeout=60.0, shutdown_timeout=0.1).run() == 0
    assert caplog.text.count("is stuck: it is stopped, and another takes its place") == 6
    assert caplog.text.count("has ended; another takes its place") == 6
    assert caplog.text.count("it is killed") == (6 if does == "deaf stuck" else 0)


def test_one_that_is_stuck_holds_up_no_heartbeat_while_it_is_replaced(
    fleet: Running, during_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "KILL_SECONDS", 0.5)
    beat = tmp_path / "beat"

    def script() -> None:
        fleet.are(3)
        os.utime(beat, (0, 0))
        eventually(lambda: beat.stat().st_mtime > 0)
        send_signal()

    during_run(script)
    running = fleet.supervisor(["deaf stuck"], stuck_timeout=60.0, shutdown_timeout=0.5, heartbeat_file=str(beat))
    assert running.run() == 3  # it is killed, and by then the supervisor stops


def test_while_the_first_starts_there_is_a_heartbeat_that_is_not_ready(
    fleet: Running, during_run: Any, tmp_path: Path
) -> None:
    """Imports may take longer than a probe allows between two heartbeats."""
    beat = tmp_path / "beat"
    ready: list[str] = []

    def script() -> None:
        fleet.are(1)
        os.utime(beat, (0, 0))
        eventually(lambda: beat.stat().st_mtime > 0)
        ready.append(beat.read_text())
        send_signal()

    during_run(script)
    assert fleet.supervisor(["serve imports"], heartbeat_file=str(beat)).run() == 0
    assert ready == [""]


@pytest.mark.parametrize("does", ["serve", "serve stuck"])
def test_without_a_timeout_none_is_stuck(
    fleet: Running, during_run: Any, does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(processes, "SILENCE_SECONDS", 0.1)
    beat = tmp_path / "beat"

    def script() -> None:
        fleet.are(3)
        told = time.monotonic()
        eventually(lambda: time.monotonic() > told + 0.5)
        send_signal()

    during_run(script)
    assert fleet.supervisor([does] * 3, heartbeat_file=str(beat)).run() == 0
    assert len(fleet.started) == 3


def test_one_that_reports_nothing_for_as_long_is_stuck(
    fleet: Running, during_run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.1)

    def script() -> None:
        fleet.are(5)
        send_signal()

    during_run(script)
    assert fleet.supervisor([], stuck_timeout=0.5).run() == 0
    assert "is stuck: it is stopped" in caplog.text


@pytest.mark.parametrize("first", ["mute", "broken"])
def test_one_metrics_port_serves_all(
    fleet: Running, during_run: Any, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "METRICS_SECONDS", 0.3)
    texts: list[str] = []

    def scrape() -> str:
        with urllib.request.urlopen("http://127.0.0.1:{}/metrics".format(*running._server.address[1:])) as response:  # type: ignore[union-attr]
            return str(response.read().decode())

    def script() -> None:
        try:
            fleet.are(3)
            eventually(lambda: texts.append(scrape()) or texts[-1].count("} 1\n") >= 4)  # two, each with its samples
        finally:
            send_signal()

    during_run(script)
    running = fleet.supervisor([first], metrics_port=("127.0.0.1", 0))
    assert running.run() == 0
    text = texts[-1]
    assert 'm{process="1"} 1\nm{process="2"} 1\n' in text
    for number in range(3):
        assert f'runworker_process_up{{process="{number}"}} {int(number > 0)}\n' in text
    for once in ("# TYPE m counter\n", "# TYPE runworker_process_up gauge\n"):
        assert text.count(once) == 1


def test_the_states_of_several_workers_are_those_of_all() -> None:
    well, waiting = WorkerState(True, True, 1, 2, 3), WorkerState(False, True, 10, 20, 30)
    stuck = WorkerState(True, False, 1, 0, 0, stuck=True)
    assert combined([well, stuck]) == WorkerState(True, False, 2, 2, 3, stuck=True)
    assert combined([well, well]) == WorkerState(True, True, 2, 4, 6)
    assert combined([well, waiting]) == WorkerState(False, True, 11, 22, 33)


class TestSupervisedWorker:
    def test_it_tells_how_it_does_answers_and_stops_when_the_supervisor_has_gone(self) -> None:
        states, its_states = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        requests, its_requests = socket.socketpair()
        worker = stand_in()
        worker.channel_layer.extensions = []
        link = SupervisorLink(SupervisorSockets(5, its_states.detach(), its_requests.detach()), metrics=True)
        broken, gone = socket.socketpair()
        gone.close()  # of a supervisor that no longer waits
        with states, requests, broken:
            link.start(worker)
            assert WorkerState(*json.loads(states.recv(4096))) == WorkerState(True, True, 0, 0, 0)
            socket.send_fds(requests, [b"o"], [broken.fileno()])
            answer, its_answer = socket.socketpair()
            with answer, its_answer:
                socket.send_fds(requests, [b"o"], [its_answer.fileno()])
                its_answer.close()
                with answer.makefile() as text:
                    lines = text.readlines()
            assert 'runworker_messages_total{channel="c",process="5"} 0\n' in lines
            assert lines[-1] == "# EOF\n"
            link.quiet()
            assert states.recv(4096) == b"null"
        eventually(lambda: worker.quieted)
        link.check(worker)  # raises nothing
        link._states.close()
