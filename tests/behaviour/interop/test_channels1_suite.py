"""
The tests of Channels 1 with ``channels`` replaced by ``workers``: those that do not pass, each with its reason.

They are those of 1.0.3, the last release that has them in its archive on PyPI. The names are those of 1.1.8.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("django")
pytest.importorskip("docutils")

from tests.support.porting_page import rows

ROOT = Path(__file__).parents[3]
RUNNER = ROOT / "tests" / "support" / "channels1_suite.py"
# The filter came with Python 3.12, and with late versions of those before.
SAFE = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}

TABLE = "delayed messages are in Redis, not in a table of Django"
COMMANDS = "looks at the arguments that the commands pass to daphne 1 and to the worker of that day, both mocked"
POOL = "looks into a group of workers: here a worker has a pool of slots, and no workers within"
DO_NOT_PASS = {
    "test_delay.WorkerTests.test_invalid_message": TABLE,
    "test_delay.WorkerTests.test_delay_message": TABLE,
    "test_delay.DelayedMessageTests.test_is_due": TABLE,
    "test_delay.DelayedMessageTests.test_send": TABLE,
    "test_handler.HandlerTests.test_real_file_response": "reads a file that the archive lacks",
    "test_management.RunWorkerTests.test_runworker_no_local_only": COMMANDS,
    "test_management.RunWorkerTests.test_debug": COMMANDS,
    "test_management.RunWorkerTests.test_runworker": COMMANDS,
    "test_management.RunWorkerTests.test_runworker_verbose": COMMANDS,
    "test_management.RunServerTests.test_runserver_basic": COMMANDS,
    "test_management.RunServerTests.test_runserver_debug": COMMANDS,
    "test_management.RunServerTests.test_runserver_noworker": COMMANDS,
    "test_management.RunServerTests.test_log_action": COMMANDS,
    "test_worker.WorkerTests.test_channel_filters": "makes a worker without a layer and without a routing",
    "test_worker.WorkerGroupTests.test_subworkers_created": POOL,
    "test_worker.WorkerGroupTests.test_subworkers_no_sigterm": POOL,
    "test_worker.WorkerGroupTests.test_ready_signals_sent": POOL,
    "test_worker.WorkerGroupTests.test_sigterm_handler": POOL,
}


def unpacked(version: str, directory: Path) -> Path:
    """Return the package of a release of Channels; skip the test where PyPI cannot be reached."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "download",
        "-q",
        "--no-deps",
    ]
    command = [*pip, "--no-binary", ":all:", "--no-build-isolation", "-d", str(directory), f"channels=={version}"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=50)
    if ended.returncode:
        pytest.skip(f"Channels {version} cannot be had: {ended.stdout.strip().splitlines()[-1]}")
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".py"):
                tar.extract(member, directory, **SAFE)
    return directory / f"channels-{version}" / "channels"


def test_all_pass_but_those_with_a_reason(tmp_path: Path) -> None:
    tests = unpacked("1.0.3", tmp_path) / "tests"
    command = [sys.executable, "-W", "ignore", str(RUNNER), str(tests)]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 0, ended.stderr
    outcomes = {name.replace("tests.", "", 1): how for name, how in json.loads(ended.stdout.splitlines()[-1]).items()}
    assert len(outcomes) == 77
    assert {name: how for name, how in outcomes.items() if how != "passed" and name not in DO_NOT_PASS} == {}
    assert [name for name in DO_NOT_PASS if outcomes[name] == "passed"] == []


def test_the_table_of_names_is_complete(tmp_path: Path) -> None:
    package = unpacked("1.1.8", tmp_path)
    known = {f"{module}.{name}": answer for module, names, answer, _ in rows() for name in names}
    missing = {name for name in public_names(package) if name not in known}
    # A class that is not here says it for its members.
    assert {name for name in missing if not known.get(name.rpartition(".")[0], "").startswith("not here")} == set()


def public_names(package: Path) -> Iterator[str]:
    """Yield the dotted paths of what each module defines, commands and migrations apart."""
    for path in sorted(package.rglob("*.py")):
        if {"commands", "migrations", "tests"} & set(path.parts):
            continue
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts).replace(".__init__", "")
        for name in defined(ast.parse(path.read_text())):
            yield f"{module}.{name}"


def defined(tree: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Yield the public names that a module or class defines, with the members of its classes."""
    for node in tree.body:
        names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        for name in [*names, *([node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else [])]:
            if not name.startswith("_") or name == "__version__":
                yield name
                if isinstance(node, ast.ClassDef):
                    yield from (f"{name}.{member}" for member in defined(node))
