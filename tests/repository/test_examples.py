"""The demonstration of the README does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


class Demo:
    """The command, and whatever it starts: they all have its mark in their environment."""

    def __init__(self, *arguments: str) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "examples.demo", *arguments],
            cwd=ROOT,
            env={**os.environ, "DEMO_MARK": self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self) -> list[str]:
        """The command lines of those that live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended, or is another user's
        return found


def test_it_does_every_job_once_and_says_so(redis_server):
    demo = Demo("--redis", redis_server.url, "--seconds", "1.5")
    output, _ = demo.process.communicate(timeout=40)
    assert demo.process.returncode == 0, output
    assert "750 jobs sent, 750 done, 0 of them twice" in output
    assert "1 messages to a group of two channels: 2 arrived" in output


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seen", ["started", "Worker:", "Sender:", "jobs done"])
def test_a_signal_at_any_time_leaves_no_process_behind(number, seen):
    demo = Demo("--redis", "redis://127.0.0.1:1")
    assert demo.process.stdout is not None
    output = ""
    while seen not in output:
        line = demo.process.stdout.readline()
        assert line, output
        output += line
    assert len(demo.processes()) > 1  # the Redis that it started, at least
    demo.process.send_signal(number)
    rest, _ = demo.process.communicate(timeout=20)
    assert demo.process.returncode == 128 + number, output + rest
    eventually(lambda: not demo.processes())
