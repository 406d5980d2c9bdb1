"""Faults of a Django project, and its logging: the same from each command, and from ``manage.py check``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest

from asgi_redis.embedded import RedisServer
from tests.support.workers.processes import MODULE, Notes, WorkerProcess

pytest.importorskip("django")

from django.test import override_settings

from tests.support.workers import project as _  # noqa: F401  configures Django
from tests.unit.workers.compat.test_django import MANAGE, SETTINGS, project  # noqa: F401  a fixture
from workers.compat import checks

COMMANDS = [MANAGE, MODULE]

LOGGING = """
LOGGING = {
    "version": 1,
    "disable_existing_loggers": True,
    "formatters": {"f": {"format": "mine: %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"handlers": ["h"], "level": "INFO"},
}
"""


@contextlib.contextmanager
def running(commands: list[list[str]], project: Path, env: dict[str, str]) -> Any:  # noqa: F811
    """Runs commands side by side."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(WorkerProcess(command, project, cwd=project, env=env)) for command in commands]


def test_an_import_that_fails_deep_in_the_project_is_told_with_its_line(project: Path) -> None:  # noqa: F811
    culprit = project / "shop" / "consumers.py"
    culprit.write_text("import os\nimport nothing\n")
    (project / "shop" / "routing.py").write_text("from shop import consumers\n")
    with running(COMMANDS, project, SETTINGS) as workers:
        for worker in workers:
            assert worker.wait() == 1
            assert f"No module named 'nothing' ({culprit}, line 2)" in worker.log
            assert "Traceback" not in worker.log
        by_django, ours = (worker.log for worker in workers)
        assert "HINT: Mend that line, or install what it needs." in by_django  # the check comes before the command
        assert len(ours.splitlines()) == 1


def test_settings_that_cannot_be_imported_are_one_line(project: Path) -> None:  # noqa: F811
    settings = project / "shop" / "settings.py"
    settings.write_text("\nimport nothing\n")
    with running([MODULE], project, SETTINGS) as (worker,):
        assert worker.wait() == 1
        said = "Django cannot be set up with the settings 'shop.settings': No module named 'nothing'"
        assert worker.log == f"runworker: error: {said} ({settings}, line 2)\n"


def test_loggers_that_the_settings_disable_log_the_same_from_each_command(
    project: Path,  # noqa: F811
    notes: Notes,
    redis_server: RedisServer,
) -> None:
    """So does the warning of another package called workers, which this one hides."""
    other = project / "elsewhere" / "workers"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    with (project / "shop" / "settings.py").open("a") as settings:
        settings.write(f"{LOGGING}\nimport sys\nsys.path.append({str(other.parent)!r})\n")
    with running(COMMANDS, project, {**notes.env, **SETTINGS}) as workers:
        logs = []
        for worker in workers:
            worker.listens()
            worker.stop()
            logs.append([line for line in worker.log.splitlines() if line.startswith("mine: ")])
    assert logs[0] == logs[1]
    assert logs[0][0].partition(" is ")[0] == f"mine: WARNING workers.command.launcher: {other}"
    assert logs[0][1].startswith("mine: INFO workers.worker: Listening on 4 channels")
    assert logs[0][-1].startswith("mine: INFO workers.worker: Stopped; 0 messages done")


@pytest.mark.parametrize(
    ("routing", "complaint", "hint"),
    [
        ("tests.support.workers.consumers.routing", None, None),
        (
            "tests.support.workers.consumers.nothing",
            "module 'tests.support.workers.consumers' has no attribute 'nothing'",
            "path of",
        ),
        ("tests.unit.workers.nothing.routing", "No module named 'tests.unit.workers.nothing'", "Write the path of"),
        ("routing", "write it as module.name", "Write the path of"),
        ([5], "a routing is a list of route() and include()", "Write a list of route()"),
        ({"a": "nothing.b"}, "cannot import consumer 'nothing.b': No module named 'nothing'", "path of"),
        ({"a b": print}, "'a b' is not a valid channel name", "Correct its name"),
        ({"a!b": print}, "'a!b' cannot be received from: a process-local name must end at the !", "Correct its name"),
        ({"a?": print}, "a single-reader name must not end with ?", "Correct its name"),
    ],
)
def test_check_finds_a_wrong_routing(routing: Any, complaint: str | None, hint: str | None) -> None:
    layers = {"default": {"BACKEND": "asgi_redis.RedisChannelLayer", "ROUTING": routing}, "other": {}}
    with override_settings(CHANNEL_LAYERS=layers):
        messages = checks.check_routings()
    if complaint is None or hint is None:
        assert messages == []
        return
    (message,) = messages
    assert message.msg.startswith("The ROUTING of CHANNEL_LAYERS['default'] ")
    assert complaint in message.msg
    assert message.hint is not None
    assert hint in message.hint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, None),
        ({"max_sockets": 5}, None),
        ({"max_socket": 5}, "did you mean 'max_sockets'?"),
        ({"max_sockets": 0}, "max_sockets must be a whole number above 0, not 0"),
        ([5], "CHANNEL_INTERFACE must be a dict such as"),
    ],
)
def test_check_finds_wrong_options_of_the_interface(options: Any, complaint: str | None) -> None:
    assert checks.check_interface() == []
    with override_settings(CHANNEL_INTERFACE=options):
        messages = checks.check_interface()
    assert [(message.id, str(complaint) in message.msg) for message in messages] == [("workers.E003", True)] * bool(
        complaint
    )


def test_check_finds_a_hidden_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_hidden_package() == []
    (tmp_path / "workers.py").touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (message,) = checks.check_hidden_package()
    assert f"{tmp_path / 'workers.py'} is hidden by" in message.msg
