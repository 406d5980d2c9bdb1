"""A site as it is deployed: Redis, a web server with the interface, worker processes, and clients."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, ROOT, WorkerProcess

PROJECT = Path(__file__).parent / "project"
THREADS = ("--threads", "4")
START_SECONDS = 120  # for a process on a machine with a lot to do
GEVENT = ("--pool", "gevent", "--concurrency", "50")


@dataclass
class Report:
    """What the clients have seen; frames are pairs of socket and number."""

    sockets: int
    sent: int
    answered: int
    closed: dict[str, int]
    lost: list[tuple[int, int]]
    doubled: list[tuple[int, int]]
    disordered: list[tuple[int, int, int]]
    foreign: list[str]
    versions: dict[str, int]
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        return (
            f"{self.sockets} sockets, {len(self.closed)} closed; {self.sent} frames sent, {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled, {len(self.disordered)} out of order, {len(self.foreign)} foreign; "
            f"{self.milliseconds}; answers by version {self.versions}"
        )


class Clients:
    """The process of ``tests.support.deploys.client``, whose sockets are open."""

    def __init__(self, port: int, path: str, sockets: int, rate: float, limit: int) -> None:
        command = [sys.executable, "-m", "tests.support.deploys.client", str(port), path, str(sockets)]
        command += [str(rate), str(limit)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert self._line() == "open\n"

    def finish(self, quiet_seconds: float = 10.0) -> Report:
        """Ends the sending and returns the report when all is answered, or nothing has come for that time."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"finish {quiet_seconds}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        for name in ("lost", "doubled", "disordered"):
            found[name] = [tuple(entry) for entry in found[name]]
        return Report(**found)

    def close(self) -> None:
        """Closes the sockets, if need be by force."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Stack(contextlib.ExitStack):
    """
    ``redis`` holds the channels, another server the sessions; ``workers`` are the running worker processes.

    Consumers take ``work_seconds`` for a frame on average, some more and some less.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        flags: Sequence[str] = THREADS,
        work_seconds: float = 0.0,
        redis_options: dict[str, Any] | None = None,
        expiry: float = 60,
        group_expiry: float = 86400,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._number = workers
        self._flags = flags
        self.redis = RedisServer(redis_options or {})
        self._sessions = RedisServer()
        self.workers: list[WorkerProcess] = []
        self.stopped: list[WorkerProcess] = []
        self.port = 0
        self._environment = {
            "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",  # two versions within one second would look the same
            "DJANGO_SETTINGS_MODULE": "deployed.settings",
            "DEPLOYS_RECORDS": str(directory),
            "DEPLOYS_WORK_SECONDS": str(work_seconds),
            "DEPLOYS_EXPIRY": str(expiry),
            "DEPLOYS_GROUP_EXPIRY": str(group_expiry),
        }

    def __enter__(self) -> Stack:
        try:
            self._start_all()
        except BaseException:
            self.close()
            raise
        return self

    def _start_all(self) -> None:
        shutil.copytree(PROJECT, self._directory / "deployed")
        for server in (self.redis, self._sessions):
            self.enter_context(server)
        self._environment["DEPLOYS_URL"] = self.redis.url
        self._environment["DEPLOYS_SESSIONS_URL"] = self._sessions.url
        self.start_interface()
        self.workers = [self._start_worker() for _ in range(self._number)]
        for worker in self.workers:
            self.eventually_logs(worker, "Listening on")

    def start_interface(self) -> None:
        """Starts the web server."""
        self.port = _free_port()
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "deployed.asgi:application",
            "--port",
            str(self.port),
            "--no-access-log",
        ]
        self.interface = self._start(command)
        self.eventually_logs(self.interface, "Uvicorn running")

    def clients(self, path: str, sockets: int, rate: float, limit: int = 0) -> Clients:
        """Returns sockets that have begun to send."""
        clients = Clients(self.port, path, sockets, rate, limit)
        self.callback(clients.close)
        return clients

    def release(self, version: int) -> None:
        """Changes the code of the consumers. Workers that run know nothing of it."""
        path = self._directory / "deployed" / "consumers.py"
        code, changes = re.subn(r"(?m)^VERSION = \d+$", f"VERSION = {version}", path.read_text())
        assert changes == 1
        new = path.with_suffix(".new")
        new.write_text(code)
        new.replace(path)

    def restart_workers(self, *, stop_first: bool = False) -> None:
        """Replaces the workers one by one: by default the new one runs before the old one is told to stop."""
        for index, old in enumerate(self.workers):
            if stop_first:
                self.stop_worker(old)
            self.workers[index] = self._start_worker()
            self.eventually_logs(self.workers[index], "Listening on")
            if not stop_first:
                self.stop_worker(old)

    def stop_worker(self, worker: WorkerProcess) -> None:
        """Ends a worker by SIGTERM, which leaves nothing undone."""
        worker.signal(signal.SIGTERM)
        assert worker.wait(START_SECONDS) == 0, worker.log
        self.stopped.append(worker)
        assert "0 of them failed; 0 pending messages dropped" in worker.log, worker.log

    def kill_worker(self, index: int) -> int:
        """Ends a worker by SIGKILL, starts another, and returns the process id of the first."""
        killed = self.workers[index]
        killed.signal(signal.SIGKILL)
        killed.wait()
        self.workers[index] = self._start_worker()
        self.eventually_logs(self.workers[index], "Listening on")
        return killed.pid

    def records(self, pid: int | None = None) -> dict[str, Counter[str]]:
        """Returns what the consumers have recorded, of one process or of all: how often for each frame."""
        found: dict[str, Counter[str]] = {name: Counter() for name in ("begun", "done", "holds", "disconnected")}
        for path in self._directory.glob("*.records" if pid is None else f"{pid}.records"):
            for line in path.read_text().splitlines():
                what, _, frame = line.partition(" ")
                found[what][frame] += 1
        return found

    def eventually_holds(self, number: int) -> None:
        """Returns when so many consumers hold."""
        eventually(lambda: sum(self.records()["holds"].values()) == number, timeout=START_SECONDS)

    def eventually_logs(self, process: WorkerProcess, words: str) -> None:
        """Returns when a process has logged these words."""
        eventually(lambda: words in process.log or not process.running, timeout=START_SECONDS, interval=0.05)
        assert words in process.log, process.log

    def await_answers(self, number: int) -> None:
        """Returns when so many more frames are done."""
        before = sum(self.records()["done"].values())
        eventually(
            lambda: sum(self.records()["done"].values()) >= before + number, timeout=START_SECONDS, interval=0.2
        )

    def restart_redis(self, paused: bool) -> None:
        """Restarts Redis by SIGTERM; ``paused``: so that what it has handed out is delivered first."""
        if paused:
            with redis.Redis.from_url(self.redis.url, protocol=2) as client:
                client.client_pause(60_000)
        self.redis.stop(timeout=START_SECONDS)
        self.redis.start()

    def go(self) -> None:
        """Lets the consumers go on that hold."""
        (self._directory / "go").touch()

    def logs(self) -> str:
        """Returns the logs of all processes."""
        return "\n".join(process.log for process in (self.interface, *self.stopped, *self.workers))

    def _start_worker(self) -> WorkerProcess:
        return self._start([*MODULE, *self._flags])

    def _start(self, command: list[str]) -> WorkerProcess:
        process = WorkerProcess(command, self._directory, cwd=self._directory, env=self._environment)
        return self.enter_context(process)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
