"""One deployment: the server and the workers of a subject, on a Redis of the caller."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..channels1.client import Http, Refused, WebSocket
from .subjects import HEARTBEAT, PORT, Code, Subject

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
CAPACITY = 10_000  # of each channel: more than there are messages under way at a time


class Stack:
    """The processes of one subject; as a context manager they run, and end with it."""

    def __init__(self, python: str, redis: Any, subject: Subject, cpus: list[int]) -> None:
        self.subject = subject
        self._python, self._redis = python, redis
        self._cpus = ",".join(map(str, cpus))
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": subject.settings,
            "BENCH_REDIS": redis.url,
            "BENCH_LAYER": json.dumps({"hosts": [redis.url], "capacity": CAPACITY}),
            "BENCH_CONSUMERS": subject.consumers,
            "BENCH_OUR_WORKER": "",
        }
        self._resources = contextlib.ExitStack()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._heartbeats: list[Path] = []
        self._sender: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stack:
        with contextlib.ExitStack() as resources:
            # Away from the checkout: daphne looks into the directory that it is started in first of all.
            self._directory = resources.enter_context(tempfile.TemporaryDirectory())
            self._log: IO[str] = resources.enter_context(tempfile.TemporaryFile("w+"))
            # Not a listening socket for --fd: uvicorn takes it for a Unix one, and leaves Nagle's algorithm on.
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port: int = free.getsockname()[1]
            self._server = self._start(self.subject.server, resources)
            self._resources = resources.pop_all()
        try:
            self.start_worker()
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    @property
    def roles(self) -> dict[str, list[int]]:
        """The processes by what they do, with those that they have started."""
        redis = [self._redis.pid] if self.subject.worker or self.subject.sender else []
        roles = {"server": family(self._server.pid), "Redis": redis}
        if self._workers:
            roles["worker"] = [pid for worker in self._workers for pid in family(worker.pid)]
        if self._sender is not None:
            roles["sender"] = [self._sender.pid]
        return roles

    def log(self) -> str:
        """Return the end of everything that they have written."""
        self._log.seek(0)
        return self._log.read()[-4000:]

    def start_worker(self) -> None:
        """Start one more worker, where the subject has workers."""
        if self.subject.worker:
            self._heartbeats.append(Path(self._directory, f"heartbeat{len(self._heartbeats)}"))
            self._workers.append(self._start(self.subject.worker, self._resources))

    def wait_for_worker(self) -> None:
        """Wait until the worker that was started last pulls messages. Only for workers with a heartbeat."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._heartbeats[-1].exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.subject.key}: the worker does not pull\n{self.log()}")
            time.sleep(POLL_SECONDS)

    def stop_worker(self) -> None:
        """Stop the oldest worker, and wait until it has ended."""
        worker = self._workers.pop(0)
        worker.terminate()
        worker.wait(STOP_SECONDS)

    @contextlib.contextmanager
    def sender(self) -> Iterator[int]:
        """Yield the pipe by which a sender gets its messages."""
        with contextlib.ExitStack() as resources:
            self._sender = process = self._start(self.subject.sender, resources, stdin=subprocess.PIPE)
            assert process.stdin is not None
            resources.enter_context(process.stdin)
            yield process.stdin.fileno()
        self._sender = None

    def _start(
        self, code: Code, resources: contextlib.ExitStack, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        heartbeat = str(self._heartbeats[-1]) if self._heartbeats else ""
        arguments = [part.replace(PORT, str(self.port)).replace(HEARTBEAT, heartbeat) for part in code]
        process = subprocess.Popen(
            ["taskset", "-c", self._cpus, self._python, "-W", "ignore", "-c", *arguments],
            cwd=self._directory,
            env=self._environment,
            stdin=stdin,
            stdout=self._log,
            stderr=self._log,
        )
        resources.callback(_end, process)
        return process

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if self.subject.sender:
                    with WebSocket(self.port, "/echo/", timeout=5) as websocket:
                        websocket.send("ready")
                        websocket.receive()
                else:
                    with Http(self.port, timeout=5) as connection:
                        connection.get()
                return
            except (OSError, Refused) as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.subject.key}: no answer: {error}\n{self.log()}") from error
                time.sleep(POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:  # which grows
        found += children.get(one, [])
    return found
