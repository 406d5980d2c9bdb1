"""Worker processes, and what their consumers have noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
MODULE = [sys.executable, "-m", "workers"]


class WorkerProcess:
    """A command that runs until the test is through with it; ``log`` is what it wrote."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
        leads_group: bool = False,
    ) -> None:
        self._log = directory / f"worker-{os.urandom(4).hex()}.log"
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DJANGO_SETTINGS_MODULE", "ASGI_REDIS_URL")
        }
        environment.update({"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})})
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=leads_group
            )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def listens(self) -> None:
        """Returns when it has said that it does."""
        eventually(lambda: "Listening on" in self.log or self._process.poll() is not None, timeout=50)
        assert self._process.poll() is None, self.log

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        """Ends it in good order."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.log

    def wait(self, timeout: float = 50) -> int:
        return self._process.wait(timeout)


class Notes:
    """What the consumers in ``tests.support.workers.consumers`` have noted in Redis."""

    def __init__(self, url: str, name: str) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True, protocol=2)
        self.name = name
        self.env = {"TEST_REDIS_URL": url, "TEST_NOTES": name}

    def __getitem__(self, what: str) -> list[str]:
        return self.client.lrange(f"{self.name}:{what}", 0, -1)  # type: ignore[return-value]

    def numbers(self, what: str) -> list[int]:
        return sorted(int(value) for value in self[what])

    def go(self) -> None:
        """Lets consumers that hold go on."""
        self.client.rpush(f"{self.name}:go", *"123456789")
