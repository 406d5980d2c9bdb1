"""What keeps a worker of a Channels 4 project from starting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.workers.processes import ROOT, Notes
from tests.unit.workers.compat.channels4 import Run
from workers.command.cli import main

CORE = "channels_redis.core.RedisChannelLayer"
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, "no consumer for channel 'nothing' in the application's ChannelNameRouter; it has bare, broken"),
    ("thumb!nails", {}, "'thumb!nails' cannot be received from"),
    ("emails --routing a.b", {}, "leave out --routing"),
    ("emails --only-channels e*", {}, "leave out --only-channels"),
    ("emails --layer third", {}, "no channel layer 'third'"),
    ("emails --exclude-channels e*", {}, "no channels to listen on"),
    ("", {}, "for the consumers of an ASGI application, name their channels"),
    ("emails", {"ASGI_APPLICATION": None}, "ASGI_APPLICATION in the settings is None"),
    (
        "emails",
        {"ASGI_APPLICATION": "tests.unit.workers.compat.channels4.no"},
        "cannot import ASGI_APPLICATION 'tests.unit.workers.compat.channels4.no'",
    ),
    (
        "emails",
        {"ASGI_APPLICATION": "tests.unit.workers.compat.channels4.asgi.without_channels"},
        "the ProtocolTypeRouter of ASGI_APPLICATION has no",
    ),
    ("emails", {"default": {"BACKEND": "asgi_redis.RedisChannelLayer"}}, "is synchronous: its BACKEND has to be"),
    ("emails", {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}, "out of reach for synchronous code"),
    ("emails", {"second": {"BACKEND": CORE, "CONFIG": {"exiry": 1}}}, "'second': RedisChannelLayer has no setting"),
]

TRY_ALL = """
import contextlib, io, json, sys
from django.conf import settings
from django.test import override_settings
from workers.command.cli import main

results = []
for flags, changes, _ in json.loads(sys.argv[1]):
    layers = dict(settings.CHANNEL_LAYERS)
    layers.update((alias, changes.pop(alias)) for alias in ("default", "second") if alias in changes)
    said = io.StringIO()
    with override_settings(CHANNEL_LAYERS=layers, **changes), contextlib.redirect_stderr(said):
        results.append((main(flags.split()), said.getvalue()))
print(json.dumps(results))
"""


def test_what_cannot_work_ends_with_1_and_one_line(notes: Notes, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TRY_ALL, json.dumps(WRONG)],
        cwd=tmp_path,
        env={**os.environ, **notes.env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert ran.returncode == 0, ran.stderr
    for (flags, changes, complaint), (code, said) in zip(WRONG, json.loads(ran.stdout)):
        assert code == 1, (flags, changes)
        assert complaint in said
        assert len(said.splitlines()) == 1


def test_with_manage_py_too(run: Run) -> None:
    with run("nothing") as worker:
        assert worker.wait() == 1
        assert "no consumer for channel 'nothing'" in worker.log
        assert len(worker.log.splitlines()) == 1


def test_channels_with_a_layer_url_are_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["emails", "--layer-url", "redis://127.0.0.1:1", "--routing", "a.b"])
    assert caught.value.code == 2
    assert "channels are those of an ASGI application" in capsys.readouterr().err
