"""The demonstration of the README does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
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

    def read_until(self, text: str) -> str:
        """Returns its output up to a line with ``text``."""
        assert self.process.stdout is not None
        output = ""
        while text not in output:
            line = self.process.stdout.readline()
            assert line, output
            output += line
        return output

    def ends_by(self, number: int) -> None:
        """Sends a signal; it ends, and all that it has started."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=100)
        assert self.process.returncode == 128 + number, rest
        eventually(lambda: not self.processes(), timeout=60)

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


@pytest.mark.timeout(240)
def test_it_does_every_job_once_serves_the_chat_and_says_so(redis_server):
    """Without a terminal it ends by itself."""
    demo = Demo("--redis", redis_server.url, "--seconds", "1.5")
    output, _ = demo.process.communicate(timeout=100)
    assert demo.process.returncode == 0, output
    assert "750 jobs sent, 750 done, 0 of them twice" in output
    assert "1 messages to a group of two channels: 2 arrived" in output
    assert len(re.findall(r"Chat: .*: yes", output)) == 5
    assert "the same two websockets are still open: yes" in output


@pytest.mark.timeout(240)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find processes")
def test_it_serves_the_chat_until_ctrl_c_on_another_port_where_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        demo = Demo("--redis", "redis://127.0.0.1:1", "--seconds", "0.5", "--port", str(port), "--serve")
        output = demo.read_until("The chat is open at")
        url = re.search(r"http://127\.0\.0\.1:(\d+)/", output.splitlines()[-1])
        assert url is not None
        assert int(url[1]) != port
        with urllib.request.urlopen(url[0], timeout=60) as page:
            assert b"<title>lobby</title>" in page.read()
        demo.ends_by(signal.SIGINT)


@pytest.mark.timeout(240)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find processes")
@pytest.mark.parametrize(
    ("seen", "number"),
    [
        pytest.param("started", signal.SIGINT, marks=pytest.mark.soak),
        ("Chat:", signal.SIGTERM),
        pytest.param("Worker:", signal.SIGHUP, marks=pytest.mark.soak),
        pytest.param("Sender:", signal.SIGINT, marks=pytest.mark.soak),
        pytest.param("jobs done", signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param("see each other", signal.SIGINT, marks=pytest.mark.soak),
    ],
)
def test_a_signal_at_any_time_leaves_no_process_behind(seen, number):
    demo = Demo("--redis", "redis://127.0.0.1:1", "--seconds", "2")
    demo.read_until(seen)
    assert len(demo.processes()) > 1  # the Redis that it started, at least
    demo.ends_by(number)
