"""What is shipped: the wheel and the sdist hold everything, and work where nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import asgi_redis

ROOT = Path(__file__).parents[2]
PACKAGES = ("asgi_redis", "workers")
TEST_LINE = 'python3 -m venv .venv && .venv/bin/pip install -q -e ".[tests]" && .venv/bin/python -m pytest -n auto'

SEND_AND_RECEIVE = """
import sys
import asgi_redis, workers
assert asgi_redis.__file__.startswith(sys.prefix), asgi_redis.__file__
with asgi_redis.RedisChannelLayer(hosts=[sys.argv[1]], prefix=sys.argv[2]) as layer:
    layer.send("work", {"text": "hello"})
    assert layer.receive(["work"], block=True) == ("work", {"text": "hello"})
    layer.group_add("chat", "work")
    assert layer.send_group("chat", {"text": "all"}) == 0
    assert layer.receive(["work"]) == ("work", {"text": "all"})
print(asgi_redis.__version__)
"""


def sources() -> set[str]:
    """The names of all the files that users need, as they have to be in an archive."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".lua", ".html", ".css", ".js", ".svg") or path.name == "py.typed"
    }
    assert {"asgi_redis/wire/lua/send.lua", "asgi_redis/monitor/web/page/page.html", "asgi_redis/py.typed"} <= found
    return found


def run(*command: object, **options: object) -> str:
    ended = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def build(kind: str, directory: Path, source: Path | None = None) -> Path:
    """Builds a ``wheel`` or an ``sdist`` from a copy, so that the checkout stays as it is."""
    if source is None:
        source = directory / "source"
        untracked = shutil.ignore_patterns(".git", ".tox", ".venv*", "build", "*.egg-info", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, source, ignore=untracked)
    run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", directory / "dist", source)
    (archive,) = (directory / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return archive


def test_the_version_is_three_plain_numbers():
    parts = asgi_redis.__version__.split(".")
    assert len(parts) == 3
    assert all(part.isdigit() for part in parts), "Channels 1.1.8 reads it as a strict version"


def test_ci_runs_the_readmes_test_line():
    assert TEST_LINE in (ROOT / ".ci" / "run").read_text().splitlines()
    assert TEST_LINE in (ROOT / "README.rst").read_text()


def test_the_sdist_holds_every_source_and_can_be_built_from(tmp_path):
    archive = build("sdist", tmp_path)
    with tarfile.open(archive) as sdist:
        top = archive.name[: -len(".tar.gz")]
        names = {name.partition("/")[2] for name in sdist.getnames()}
        assert sources() <= names
        assert {"LICENSE", "README.rst", "setup.py", "setup.cfg"} <= names
        sdist.extractall(tmp_path / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    wheel = build("wheel", tmp_path / "from-sdist", tmp_path / "unpacked" / top)
    assert sources() <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.timeout(180)  # pip fetches two packages
def test_the_wheel_sends_and_receives_in_a_fresh_environment(tmp_path, redis_server, prefix):
    wheel = build("wheel", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert sources() <= names
    assert [name for name in names if name.startswith(("tests", "examples", "benchmarks"))] == []

    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    # PYTHONPATH would let the checkout in.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    fetched = subprocess.run([*install, "redis", "msgpack"], capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"pip cannot install redis and msgpack: {fetched.stderr[-200:]}")
    run(*install, "--no-index", wheel, env=clean)
    said = run(python, "-c", SEND_AND_RECEIVE, redis_server.url, prefix, env=clean, cwd=tmp_path)
    assert said.strip() == asgi_redis.__version__
    assert "usage" in run(environment / "bin" / "runworker", "--help", env=clean, cwd=tmp_path).lower()
