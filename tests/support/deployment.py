"""The project that the examples of deployment deploy, and what their commands say."""

from __future__ import annotations

import argparse
import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.process import health
from tests.support.waiting import eventually
from tests.support.workers.processes import WorkerProcess
from workers.command.arguments import WorkerOptions
from workers.command.supervisor import KILL_SECONDS

ROOT = Path(__file__).parents[2]
FILES = ROOT / "examples" / "deployment"
CLASSIC = ROOT / "examples" / "classic"
BIN = Path(sys.executable).parent


class Project:
    """A copy of the project that the examples deploy, with an environment of Python in it."""

    def __init__(self, folder: Path, redis_url: str, prefix: str) -> None:
        self.folder = folder
        shutil.copytree(CLASSIC, folder, ignore=shutil.ignore_patterns("db.sqlite3*", "__pycache__", ".venv"))
        (folder / ".venv").symlink_to(sys.prefix)
        self.layer = RedisChannelLayer(hosts=[redis_url], prefix=prefix)
        self.environment = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "REDIS_URL": redis_url,
            "CHANNEL_PREFIX": prefix,
            "SECRET_KEY": "secret",
            "DEBUG": "0",
            "DATABASE": str(folder / "db.sqlite3"),
        }

    def start(self, *command: str, **environment: str) -> WorkerProcess:
        """Runs a command in the project's folder."""
        return WorkerProcess(command, self.folder, cwd=self.folder, env={**self.environment, **environment})

    def take_a_message(self) -> None:
        """Returns when a consumer runs that takes a second."""
        self.layer.send("bot", {"room": "lobby", "player": "anna"})
        eventually(lambda: self.layer.channel_statistics("bot")["messages_pending"] == 0, timeout=60)


@pytest.fixture
def project(tmp_path: Path, redis_server: RedisServer, prefix: str) -> Iterator[Project]:
    """The project, with the test's own keys on the shared server."""
    project = Project(tmp_path / "talk", redis_server.url, prefix)
    yield project
    project.layer.close()


def service_of(text: str) -> configparser.SectionProxy:
    """Returns the section ``Service`` of a unit of systemd."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text.replace("\\\n", " "))
    return parser["Service"]


def check_unit(text: str, folder: Path, path: Path) -> None:
    """Have systemd look at a unit, written to ``path``, whose project is in ``folder``."""
    path.write_text(text.replace("/srv/talk", str(folder)))
    ended = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def options_of(command: list[str]) -> WorkerOptions:
    """Returns the parsed flags of a command that runs a worker."""
    assert command[1:3] == ["manage.py", "runworker"]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    WorkerOptions.add_to(parser)
    return WorkerOptions.from_parsed({**vars(parser.parse_args(command[3:])), "verbosity": 1})


def flags_of(probe: list[str]) -> argparse.Namespace:
    """Returns the parsed flags of a command that probes a worker."""
    assert probe[:2] == ["asgi-redis", "health"]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    health.add_to(parser.add_subparsers())
    return parser.parse_args(probe[1:])


def longest_stop(options: WorkerOptions) -> float:
    return options.shutdown_timeout + (KILL_SECONDS if options.processes > 1 else 0.0)
