"""The command ``asgi-redis``, on the layer of a test or on any other."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from asgi_redis import __main__
from asgi_redis.process import identity
from tests.support.stores.lmdb_stores import ROOT

VARIABLES = ("ASGI_REDIS_URL", "ASGI_REDIS_KEYS", "ASGI_REDIS_PASSWORD", "DJANGO_SETTINGS_MODULE", "COLUMNS")


class Ended:
    """A command that has ended: its exit ``code``, ``output`` and ``errors``."""

    def __init__(self, code, output, errors):
        self.code = code
        self.output = output
        self.errors = errors

    @property
    def json(self):
        assert self.code == 0, self.errors
        return json.loads(self.output)

    @property
    def table(self):
        """The words of each line."""
        return [line.split() for line in self.output.splitlines()]


def run_process(*words, cwd=ROOT, **env):
    """Runs the command as a process."""
    variables = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    process = subprocess.run(
        [sys.executable, "-m", "asgi_redis", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**variables, "PYTHONPATH": str(ROOT), **env},
    )
    return Ended(process.returncode, process.stdout, process.stderr)


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(*words, stdin="", **env)`` runs the command in this process, which is quicker."""
    monkeypatch.setattr(identity, "set_role", lambda role: None)  # the role stays with the process

    def command(*words, stdin="", **env):
        with monkeypatch.context() as patches:
            for name in VARIABLES:
                patches.setenv(name, "")  # so that it is put back
                patches.delenv(name)
            for name, value in env.items():
                patches.setenv(name, value)
            patches.setattr(sys, "stdin", io.StringIO(stdin))
            try:
                code = __main__.main(words)
            except SystemExit as exited:  # argparse
                code = exited.code
        return Ended(code, *capsys.readouterr())

    return command


@pytest.fixture
def asgi_redis(run, layer, monitored_server):
    """``asgi_redis(*words)`` runs the command on the layer of the test."""

    def command(*words, **options):
        return run(*words, **{"ASGI_REDIS_URL": monitored_server.url, **options})

    return command
