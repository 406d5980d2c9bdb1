"""``--reload``, in a project without Django and in one with."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess
from tests.support.workers.stand_ins import stand_in
from workers.operations.reloading import Reloader

MANAGE_PY = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SETTINGS_PY = """
INSTALLED_APPS = ["workers"]
CHANNEL_LAYERS = {{
    "default": {{
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {{"hosts": ["{url}"], "prefix": "{prefix}"}},
        "ROUTING": "shop.routing",
    }},
}}
"""

SHOP_PY = """
from tests.support.workers.consumers import hold, note
from workers import route

def order(message):
    note("done", "{answer}")

routing = [route("orders", order), route("hold", hold)]
"""

Project = Callable[..., WorkerProcess]


def write(directory: Path, text: str) -> None:
    """As editors do it: the file is replaced."""
    (directory / "new").write_text(text)
    (directory / "new").replace(directory / "shop.py")


def answers(directory: Path, answer: str) -> None:
    write(directory, SHOP_PY.format(answer=answer))


def command(kind: str, directory: Path, server: RedisServer, prefix: str) -> list[str]:
    flags = ["--reload", *(["--pool", "gevent"] if "gevent" in kind else [])]
    if "django" not in kind:
        return [*MODULE, "--layer-url", server.url, "--prefix", prefix, "--routing", "shop.routing", *flags]
    (directory / "settings.py").write_text(SETTINGS_PY.format(url=server.url, prefix=prefix))
    (directory / "manage.py").write_text(MANAGE_PY)
    return [sys.executable, "manage.py", "runworker", "--settings", "settings", *flags]


SOAK = pytest.mark.soak


@pytest.fixture(params=[*[pytest.param(kind, marks=SOAK) for kind in ("plain", "gevent", "django")], "django gevent"])
def kind(request: pytest.FixtureRequest) -> str:
    for name in set(request.param.split()) - {"plain"}:
        pytest.importorskip(name)
    return str(request.param)


@pytest.fixture
def worker(
    kind: str, tmp_path: Path, redis_server: RedisServer, prefix: str, notes: Notes
) -> Iterator[WorkerProcess]:
    """A worker that has run a message with the first version of its code."""
    answers(tmp_path, "first")
    program = command(kind, tmp_path, redis_server, prefix)
    with WorkerProcess(program, tmp_path, cwd=tmp_path, env=notes.env) as worker:
        worker.listens()
        yield worker


def order(layer: RedisChannelLayer, notes: Notes) -> str:
    """Has the worker run a message; returns what it said."""
    number = len(notes["done"])
    layer.send("orders", {})
    return str(eventually(lambda: notes["done"][number:]))


def test_a_change_is_taken_up_in_the_same_process(
    worker: WorkerProcess, layer: RedisChannelLayer, notes: Notes, tmp_path: Path
) -> None:
    assert order(layer, notes) == "['first']"
    answers(tmp_path, "second")
    eventually(lambda: worker.log.count("Listening on") == 2, timeout=20)
    assert order(layer, notes) == "['second']"
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log


@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_with_broken_code_the_old_goes_on_until_it_is_mended(
    worker: WorkerProcess, layer: RedisChannelLayer, notes: Notes, tmp_path: Path
) -> None:
    (tmp_path / "unloaded.py").touch()
    write(tmp_path, "def order(message:\n")
    eventually(lambda: "the code cannot be loaded; going on with the old" in worker.log, timeout=20)
    assert "SyntaxError" in worker.log
    assert order(layer, notes) == "['first']"
    answers(tmp_path, "second")
    eventually(lambda: worker.log.count("Listening on") == 2, timeout=20)
    assert order(layer, notes) == "['second']"
    assert "unloaded.py" not in worker.log


@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_what_runs_is_run_to_its_end_first(
    worker: WorkerProcess, layer: RedisChannelLayer, notes: Notes, tmp_path: Path
) -> None:
    layer.send("hold", {"n": 1})
    eventually(lambda: notes["started"])
    answers(tmp_path, "second")
    eventually(lambda: "Stopping:" in worker.log, timeout=20)
    assert notes["done"] == []
    notes.go()
    eventually(lambda: worker.log.count("Listening on") == 2, timeout=20)
    assert notes["done"] == ["1"]


@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_a_signal_while_it_stops_for_a_reload_ends_it(
    worker: WorkerProcess, layer: RedisChannelLayer, notes: Notes, tmp_path: Path
) -> None:
    layer.send("hold", {"n": 1})
    eventually(lambda: notes["started"])
    answers(tmp_path, "second")
    eventually(lambda: "Stopping:" in worker.log, timeout=20)
    worker.signal(signal.SIGINT)
    notes.go()
    assert worker.wait() == 0
    assert notes["done"] == ["1"]
    assert worker.log.count("Listening on") == 1


@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_a_signal_during_a_rehearsal_ends_both(
    worker: WorkerProcess, layer: RedisChannelLayer, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    # Loading this takes for ever.
    write(
        tmp_path,
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'writing')!r}).write_text(str(os.getpid()))\n"
        f"pathlib.Path({str(tmp_path / 'writing')!r}).rename({str(pid)!r})\n"
        "time.sleep(600)\n",
    )
    eventually(pid.exists, timeout=20)
    rehearsal = int(pid.read_text())
    os.kill(rehearsal, 0)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(rehearsal, 0)


@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_a_module_that_was_missing_is_noticed_when_it_is_there(
    worker: WorkerProcess, layer: RedisChannelLayer, notes: Notes, tmp_path: Path
) -> None:
    """The worker has never loaded it, and nothing that it has loaded changes."""
    write(tmp_path, "import mailer\n" + SHOP_PY.format(answer="second"))
    eventually(lambda: "No module named 'mailer'" in worker.log, timeout=20)
    (tmp_path / "mailer.py").touch()
    eventually(lambda: worker.log.count("Listening on") == 2, timeout=20)
    assert order(layer, notes) == "['second']"
    assert worker.log.count("No module named 'mailer'") == 1


@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_a_change_made_while_it_starts_is_not_missed(
    worker: WorkerProcess, layer: RedisChannelLayer, notes: Notes, tmp_path: Path
) -> None:
    # When this is loaded, it is another by the time the worker starts.
    (tmp_path / "then.py").write_text(SHOP_PY.format(answer="third"))
    changing = "import pathlib, os\nif 'ASGI_REDIS_REHEARSAL' not in os.environ:\n"
    changing += f"    pathlib.Path({str(tmp_path / 'then.py')!r}).replace(__file__)\n"
    changing += "    os.utime(__file__)\n"
    write(tmp_path, changing + SHOP_PY.format(answer="second"))
    eventually(lambda: worker.log.count("Listening on") == 3, timeout=20)
    assert order(layer, notes) == "['third']"


def test_a_file_of_the_future_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's clock may be ahead; each start would be before that time."""
    module = ModuleType("of_the_future")
    module.__file__ = str(tmp_path / "of_the_future.py")
    Path(module.__file__).touch()
    os.utime(module.__file__, (time.time() + 3600,) * 2)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    rehearsals: list[Any] = []
    monkeypatch.setattr("workers.operations.reloading.Rehearsal", lambda command, _: rehearsals.append(command))
    reloading = Reloader()
    reloading.start(stand_in())
    reloading.check(stand_in())
    assert rehearsals == []
    os.utime(module.__file__)
    reloading.check(stand_in())
    assert len(rehearsals) == 1


def test_modules_without_a_file_of_their_own_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in a zip file, or their file is deleted, or what is in ``sys.modules`` is no module."""
    (tmp_path / "modules.zip").touch()
    for n, path in enumerate([tmp_path / "modules.zip" / "shop.py", tmp_path / "deleted.py"]):
        module = ModuleType(f"module{n}")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "no_module", object())  # type: ignore[arg-type]
    reloading = Reloader()
    for _ in range(2):
        assert reloading.check(stand_in()) is None
