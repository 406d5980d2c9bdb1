"""
Channels' own tests with our layer in the place of its in-memory one.

They are those of Channels 1.0.3, the last release that has them in its archive on PyPI, run on the installed 1.1.8.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from asgi_redis.embedded import RedisServer
from tests.channels1.stack import ROOT

RUNNER = Path(__file__).parent / "own_suite.py"
# The filter came with Python 3.12, and with late versions of those before.
SAFE = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
# What fails with any layer.
OUTDATED = {
    "test_handler.HandlerTests.test_real_file_response",  # reads a file that the archive lacks
    "test_worker.WorkerGroupTests.test_sigterm_handler",  # since 1.1 that exits
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the tests."""
    directory = tmp_path_factory.mktemp("channels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    command = [*pip, "--no-binary", ":all:", "--no-build-isolation", "-d", str(directory), "channels==1.0.3"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ended.returncode == 0, ended.stdout
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(directory, **SAFE)
    return directory / "channels-1.0.3" / "channels" / "tests"


def outcomes(suite: Path, *layer: str) -> dict[str, str]:
    command = [sys.executable, "-W", "ignore", str(RUNNER), str(suite), *layer]
    # From elsewhere: Channels' tests are not to find ours.
    ended = subprocess.run(
        command, cwd=suite, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 0, ended.stderr
    by_name = json.loads(ended.stdout.splitlines()[-1])
    return {name.replace("channels.tests.", "", 1): outcome for name, outcome in by_name.items()}


def test_they_end_with_our_layer_as_with_the_one_that_they_were_written_for(
    suite: Path, redis_server: RedisServer, prefix: str
) -> None:
    with_ours = outcomes(suite, redis_server.url, prefix)
    assert {name for name, outcome in with_ours.items() if outcome != "passed"} == OUTDATED
    assert len(with_ours) == 69
    assert with_ours == outcomes(suite)
