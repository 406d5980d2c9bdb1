"""The classic chat at work, in the processes of its Procfile."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path

from examples.processes import end, running

FOLDER = Path(__file__).parent / "classic"
WORKER = ("manage.py", "runworker", "--threads", "4", "--exclude-channels", "bot")
BOT = ("manage.py", "runworker", "--pool", "gevent", "--only-channels", "bot")


class ChatSite:
    """
    The interface, the worker and the gevent worker, until the context manager ends.

    ``interface``, ``worker`` and ``bot`` are their processes.

    Args:
        redis_url: The Redis between them.
        port: The port of 127.0.0.1 to serve; the next free one where it is taken.
    """

    def __init__(self, redis_url: str, port: int) -> None:
        self._stack = contextlib.ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._log = self._stack.enter_context((folder / "log").open("w+"))
        self._environment = {
            **os.environ,
            "REDIS_URL": redis_url,
            "CHANNEL_PREFIX": f"asgi-demo-{uuid.uuid4().hex[:8]}",
            "DATABASE": str(folder / "db.sqlite3"),
            "PYTHONUNBUFFERED": "1",
        }
        self._socket = self._stack.enter_context(listening_socket(port))

    def __enter__(self) -> ChatSite:
        with contextlib.ExitStack() as stack:
            stack.push(self._stack)
            self.manage("migrate", "-v0")
            self.start_interface()
            self.worker, self.bot = self._start(*WORKER), self._start(*BOT)
            stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def __str__(self) -> str:
        return f"uvicorn {self.interface.pid}, worker {self.worker.pid}, gevent worker {self.bot.pid}"

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    @property
    def alive(self) -> bool:
        """Whether all processes run."""
        return all(process.poll() is None for process in (self.interface, self.worker, self.bot))

    @property
    def log(self) -> str:
        """What the processes have written."""
        return Path(self._log.name).read_text()

    def serves(self, signals: Sequence[int], timeout: float = 30.0) -> bool:
        """Wait until the page comes, by interface and worker; return whether it did."""
        deadline = time.monotonic() + timeout
        while not signals and self.alive and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.url, timeout=2) as answer:  # noqa: S310  it is our own
                    return bool(answer.status == 200)
            except urllib.error.HTTPError:
                return False
            except OSError:
                time.sleep(0.1)
        return False

    def start_interface(self) -> None:
        """Start the process that holds the sockets. It inherits that of the port, so that no other may take it."""
        number = self._socket.fileno()
        arguments = ("-m", "uvicorn", "talk.asgi:application", "--fd", str(number))
        self.interface = self._start(*arguments, pass_fds=[number])

    def restart_worker(self) -> None:
        """Stop the worker and start a new one, as for new code."""
        end(self.worker)
        self.worker = self._start(*WORKER)

    def manage(self, *arguments: str) -> None:
        """Run a management command to its end."""
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=FOLDER, env=self._environment, check=True, timeout=60, start_new_session=True)

    def _start(self, *arguments: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[str]:
        process = running(*arguments, log=self._log, folder=FOLDER, environment=self._environment, pass_fds=pass_fds)
        return self._stack.enter_context(process)


def listening_socket(first: int) -> socket.socket:
    """Return a socket that listens on the port ``first``, or on one of the next ten, or on any."""
    for port in (*range(first, first + 10), 0):
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", port))
            found.listen()
        except OSError:
            found.close()
        else:
            return found
    raise OSError("no port is free")
