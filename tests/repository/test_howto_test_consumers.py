"""The guide to tests: its tests pass, and fail where their project is wrong."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.guides import Guide, Project

pytest.importorskip("django")
pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]
UNREACHABLE = "redis://127.0.0.1:1/0"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    guide = Guide("test_consumers.rst")
    project = Project(tmp_path, UNREACHABLE)
    for command in guide.commands()[:2]:
        project.run(*shlex.split(command))
    return project.add(guide)


def test_the_tests_of_the_project_pass(project: Project) -> None:
    said = project.run("python", "-W", "ignore", "manage.py", "test", "mysite")
    assert "Ran 9 tests" in said
    assert "OK" in said


def test_they_fail_with_the_texts_of_the_page(project: Project) -> None:
    routing = project.folder / "mysite" / "routing.py"
    routing.write_text(routing.read_text().replace('route("thumbnails"', 'route("elsewhere"'))
    said = project.run("python", "manage.py", "test", "mysite.tests.test_jobs", code=1)
    assert "AssertionError: no consumer for the message on channel thumbnails" in said
    project.write("mysite/tests/test_views.py", (project.folder / "mysite/tests/test_views.py").read_text()
                  .replace("captureOnCommitCallbacks(execute=True)", "captureOnCommitCallbacks()"))  # fmt: skip
    said = project.run("python", "manage.py", "test", "mysite.tests.test_views", code=1)
    assert "AssertionError: no message on channel thumbnails" in said
    settings = project.folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + 'DATABASES["default"]["TEST"] = {}\n')
    said = project.run("python", "manage.py", "test", "mysite.tests.test_live", code=1)
    assert "ImproperlyConfigured: a live server cannot have the database 'default' in memory" in said


def test_the_functions_pass_without_django(project: Project) -> None:
    files = ["test_functions.py", "test_redis.py", "test_async.py"]
    (functions,) = [line.split() for line in Guide("test_consumers.rst").commands() if "test_functions" in line]
    said = project.run(*functions, "-q", "-p", "no:cacheprovider", "-c", "/dev/null", *files[1:])
    assert "5 passed" in said


def test_the_layer_for_tests_of_channels_4() -> None:
    from asgi_redis.aio import AsyncChannelLayer

    names: dict[str, Any] = {}
    exec(Guide("test_consumers.rst").code("AsyncChannelLayer", "BACKEND"), names)
    settings = names["CHANNEL_LAYERS"]["default"]
    assert settings["BACKEND"].endswith(AsyncChannelLayer.__name__)
    layer = AsyncChannelLayer(**settings["CONFIG"])

    async def talk() -> Any:
        await layer.send("numbers", {"n": 1})
        return await layer.receive("numbers")

    assert asyncio.run(talk()) == {"n": 1}
