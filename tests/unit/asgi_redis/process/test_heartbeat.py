"""Heartbeat files."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from asgi_redis.process.heartbeat import beat, fault


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


def set_age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_heartbeat_is_healthy_and_ready_when_it_says_so(path: Path) -> None:
    for ready in (False, True, True, False):
        beat(str(path), ready)
        assert fault(str(path), 30) is None
        complaint = fault(str(path), 30, ready=True)
        assert complaint == (None if ready else f"{path} has a heartbeat, but does not say ready")


def test_its_age_is_that_of_the_last_one_also_where_nothing_else_changes(path: Path) -> None:
    beat(str(path), ready=True)
    set_age(path, 31)
    complaint = fault(str(path), 30)
    assert complaint is not None
    assert complaint.startswith(f"the last heartbeat in {path} is 31.")
    assert complaint.endswith(" s old, more than 30 s")
    assert "s old" in str(fault(str(path), 30, ready=True))
    beat(str(path), ready=True)
    assert fault(str(path), 30, ready=True) is None


def test_one_from_the_future_counts_for_as_long_as_one_from_the_past(path: Path) -> None:
    """A clock that is set back must not make a hanging worker healthy for an hour."""
    beat(str(path), ready=True)
    set_age(path, -29)
    assert fault(str(path), 30) is None
    set_age(path, -3600)
    assert "s in the future" in str(fault(str(path), 30))


@pytest.mark.parametrize("text", ["", "rea", "ready", "ready\nx", "ready for anything\n", "not ready\n"])
def test_no_other_text_says_ready(path: Path, text: str) -> None:
    path.write_text(text)
    assert fault(str(path), 30) is None
    assert fault(str(path), 30, ready=True) is not None
    beat(str(path), ready=True)
    assert path.read_text() == "ready\n"
    beat(str(path), ready=False)
    assert path.read_text() == ""


@pytest.mark.native("threads that run at the same time")
def test_a_reader_never_sees_a_part_of_the_text(path: Path) -> None:
    beat(str(path), ready=False)
    ended = threading.Event()

    def write() -> None:
        for number in range(4000):
            beat(str(path), ready=number % 2 == 0)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not ended.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= {b"", b"ready\n"}


@pytest.mark.parametrize("kind", ["nothing", "folder", "link", "pipe"])
def test_what_is_no_file_of_a_worker_is_not_healthy(path: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    beat(str(target), ready=True)
    {
        "nothing": lambda: None,
        "folder": path.mkdir,
        "link": lambda: path.symlink_to(target),
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    complaint = str(fault(str(path), 30))
    assert complaint.startswith("cannot read the heartbeat file: ")
    assert str(path) in complaint


def test_a_probe_of_another_user_may_read_it(path: Path) -> None:
    beat(str(path), ready=True)
    assert path.stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
