"""``--heartbeat-file``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.stand_ins import stand_in
from tests.unit.workers.operations.conftest import Start
from workers.exceptions import ConfigurationError
from workers.operations.heartbeat import Heartbeat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


def age(path: Path) -> None:
    os.utime(path, (0, 0))


def is_touched(path: Path) -> bool:
    return path.stat().st_mtime > 0


def test_the_file_is_touched_again_and_again_also_without_redis(
    start: Start, fresh_redis_server: RedisServer, path: Path
) -> None:
    worker = start("--heartbeat-file", str(path), server=fresh_redis_server)
    worker.listens()
    for _ in range(2):
        age(path)
        eventually(lambda: is_touched(path))
    fresh_redis_server.stop()
    eventually(lambda: "does not serve messages" in worker.log)
    for _ in range(2):
        age(path)
        eventually(lambda: is_touched(path))
    path.unlink()
    eventually(path.exists)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_pulling_loop_that_hangs_is_no_heartbeat(path: Path) -> None:
    worker = stand_in()
    heartbeat = Heartbeat(str(path))
    heartbeat.start(worker)
    age(path)
    heartbeat.check(worker)
    assert is_touched(path)
    age(path)
    worker.hang()
    heartbeat.check(worker)
    assert not is_touched(path)


def test_a_file_that_cannot_be_touched_is_a_wrong_configuration(start: Start, path: Path) -> None:
    worker = start("--heartbeat-file", str(path / "nowhere"))
    assert worker.wait() == 1
    assert "cannot touch the heartbeat file" in worker.log
    assert len(worker.log.splitlines()) == 1


def test_one_that_cannot_be_touched_any_more_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = stand_in()
    path = tmp_path / "directory" / "heartbeat"
    path.parent.mkdir()
    heartbeat = Heartbeat(str(path))
    for _ in range(2):
        path.unlink()
        path.parent.rmdir()
        for _ in range(3):
            heartbeat.check(worker)
        path.parent.mkdir()
        heartbeat.check(worker)
        assert path.exists()
    assert caplog.text.count("Cannot touch the heartbeat file") == 2


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder", "file of another user"])
def test_what_another_user_has_put_there_is_left_alone(
    kind: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    if kind == "link":
        target.touch()
        age(target)
    {
        "link": lambda: path.symlink_to(target),
        "dangling link": lambda: path.symlink_to(target),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "file of another user": path.touch,
    }[kind]()
    if kind == "file of another user":
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
        os.chown(path, os.getuid() or 1234, -1)
    age(path if kind not in ("link", "dangling link") else tmp_path)
    with pytest.raises(ConfigurationError, match="cannot touch the heartbeat file"):
        Heartbeat(str(path))
    assert not target.exists() or not is_touched(target)
    if kind not in ("link", "dangling link"):
        assert not is_touched(path)


def test_a_link_that_is_put_there_later_is_left_alone(path: Path, tmp_path: Path) -> None:
    heartbeat = Heartbeat(str(path))
    path.unlink()
    path.symlink_to(tmp_path / "target")
    heartbeat.check(stand_in())
    assert not (tmp_path / "target").exists()
