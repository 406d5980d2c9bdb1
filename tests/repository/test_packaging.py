"""What is shipped: the wheel and the sdist hold everything, and work where nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import asgi_redis

pytestmark = pytest.mark.timeout(180)  # building, and what pip fetches

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


# Parts of the suite that need no other packages than these, and a few seconds.
SUITE_NEEDS = ["pytest", "pytest-timeout"]
SUITE_PART = [
    "tests/unit/asgi_redis/wire/test_scripts.py",
    "tests/unit/asgi_redis/wire/test_send.py",
    "tests/behaviour/promises/test_order.py",
]


@dataclass
class Archives:
    """What a release uploads, and the files of the checkout that it was built from."""

    files: set[str]
    sdist: Path
    wheel: Path

    def unpack(self, directory: Path) -> Path:
        with tarfile.open(self.sdist) as archive:
            archive.extractall(directory, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        return directory / self.sdist.name[: -len(".tar.gz")]


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


def checkout() -> set[str]:
    """All files of the repository but those that git ignores."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    command = ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
    return {name for name in run(*command).splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The wheel is built from the sdist, and that from a copy, so that the checkout stays as it is."""
    directory = tmp_path_factory.mktemp("archives")
    files = checkout()
    for name in files:
        (directory / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / "source" / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory / "dist", directory / "source")
    (sdist,) = (directory / "dist").glob("*.tar.gz")
    (wheel,) = (directory / "dist").glob("*.whl")
    return Archives(files, sdist, wheel)


class Environment:
    """A fresh environment, into which nothing gets from the checkout."""

    def __init__(self, directory: Path) -> None:
        venv.create(directory, symlinks=True)
        self.bin = directory / "bin"
        # PYTHONPATH would let the checkout in.
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith("PY")}

    def install(self, *what: object) -> None:
        """Skips the test where pip reaches no index."""
        options = ["-q", "--no-compile"]  # it compiles all modules, of which few are imported
        command = [sys.executable, "-m", "pip", "--python", self.bin / "python", "install", *options, *what]
        done = subprocess.run([str(word) for word in command], env=self.variables, capture_output=True, text=True)
        if done.returncode and "No matching distribution found" in done.stderr:
            pytest.skip(f"pip reaches no index: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stderr

    def run(self, program: str, *arguments: object, cwd: Path) -> str:
        return run(self.bin / program, *arguments, env=self.variables, cwd=cwd)


def test_the_version_is_three_plain_numbers():
    parts = asgi_redis.__version__.split(".")
    assert len(parts) == 3
    assert all(part.isdigit() for part in parts), "Channels 1.1.8 reads it as a strict version"


def test_ci_runs_the_readmes_test_line():
    assert TEST_LINE in (ROOT / ".ci" / "run").read_text().splitlines()
    assert TEST_LINE in (ROOT / "README.rst").read_text()


def test_the_sdist_holds_every_file_of_the_repository(archives):
    with tarfile.open(archives.sdist) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    made = {name for name in names if name == "PKG-INFO" or name.startswith("asgi_redis.egg-info/")}
    assert sorted(names - made) == sorted(archives.files)
    assert {"tests/conftest.py", "docs/conf.py", "examples/demo.py", "LICENSE"} <= archives.files


def test_the_wheel_holds_the_two_packages_and_nothing_else(archives):
    names = {name for name in zipfile.ZipFile(archives.wheel).namelist() if ".dist-info/" not in name}
    assert sorted(names) == sorted(name for name in archives.files if name.split("/")[0] in PACKAGES)
    assert {"asgi_redis/wire/lua/send.lua", "asgi_redis/monitor/web/page/page.html", "workers/py.typed"} <= names


def test_pypi_can_show_the_description_of_both(archives):
    run(sys.executable, "-m", "twine", "check", "--strict", archives.sdist, archives.wheel)


def test_the_wheel_sends_and_receives_in_a_fresh_environment(archives, tmp_path, redis_server, prefix):
    environment = Environment(tmp_path / "environment")
    environment.install(archives.wheel)
    said = environment.run("python", "-c", SEND_AND_RECEIVE, redis_server.url, prefix, cwd=tmp_path)
    assert said.strip() == asgi_redis.__version__
    assert "usage" in environment.run("runworker", "--help", cwd=tmp_path).lower()


def test_the_sdist_can_be_installed_and_its_tests_pass(archives, tmp_path):
    environment = Environment(tmp_path / "environment")
    environment.install(archives.sdist, *SUITE_NEEDS)
    unpacked = archives.unpack(tmp_path)
    for package in PACKAGES:  # or the tests would import them from here
        shutil.rmtree(unpacked / package)
    said = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE_PART, cwd=unpacked)
    assert int(re.findall(r"(\d+) passed", said)[-1]) > 50
    assert "error" not in said.lower()
