"""The virtual environments, made once and kept in a cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from asgi_redis import __version__

from .record import normalised

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asgi_redis-benchmarks"
_OURS = ("redis", "msgpack", "cryptography")
_CHANNELS = ("channels_redis==4.3.0", "channels", "redis", "cryptography")
REQUIREMENTS = {
    "ours": (*_OURS, "hiredis"),
    "ours_plain": _OURS,
    "asgi_redis_1": (
        "asgi_redis==1.4.3",
        "redis==2.10.6",
        "msgpack-python==0.5.6",
        "asgiref==1.1.2",
        "six",
        "cryptography",
        "setuptools<81",
    ),
    "channels_redis": (*_CHANNELS, "hiredis"),
    "channels_redis_plain": _CHANNELS,
}
_LIST = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


class Environments:
    """The environments, all on one interpreter; ``python`` has each one's by name."""

    shown: tuple[str, ...] = (
        *("asgi_redis", "channels_redis", "channels", "redis", "hiredis", "msgpack", "msgpack-python"),
        *("daphne", "Django", "Twisted"),
    )
    """The packages that matter."""

    def __init__(self, directory: Path = CACHE) -> None:
        self._directory = directory
        self._base = find_python()
        self.python: dict[str, str] = {}

    def make(self, names: set[str]) -> None:
        """Install missing environments; packages without a version above are the newest."""
        for name in sorted(names):
            self.python[name] = str(self._made(name) / "bin" / "python")

    @property
    def python_version(self) -> str:
        """Of the interpreter that all of them have."""
        command = [self._base, "-c", "import platform; print(platform.python_version())"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def versions(self) -> dict[str, str]:
        """Return the versions of Python and of the packages that matter; a second version names its environment."""
        found = {"python": self.python_version, "asgi_redis": __version__}
        for name in sorted(self.python, key=lambda name: "ours" not in name):  # those first
            said = subprocess.run([self.python[name], "-I", "-c", _LIST], capture_output=True, text=True, check=True)
            installed = {normalised(package): version for package, version in json.loads(said.stdout).items()}
            for package in self.shown:
                version = installed.get(normalised(package))
                if version is not None and found.setdefault(package, version) != version:
                    found[f"{package} ({name})"] = version
        return found

    def _made(self, name: str) -> Path:
        wanted = f"{self._base}\n" + "\n".join(REQUIREMENTS[name]) + "\n"
        path = self._directory / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
        complete = path / "requirements.txt"  # written last
        if not complete.exists():
            print(f"making the environment {path}", file=sys.stderr, flush=True)
            subprocess.run([self._base, "-m", "venv", "--clear", str(path)], check=True)
            pip = [str(path / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "-qq", *REQUIREMENTS[name]], check=True, stdout=sys.stderr)
            complete.write_text(wanted)
        return path


def find_python() -> str:
    """Return the interpreter for all; redis-py 2.10.6 needs Python 3.11 or older."""
    if sys.version_info[:2] <= (3, 11):
        return str(getattr(sys, "_base_executable", sys.executable))  # not that of a virtual environment
    for name in ("python3.11", "python3.10", "python3.9"):
        found = shutil.which(name)
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    raise SystemExit("asgi_redis 1.4.3 runs on Python 3.9 to 3.11, and none of them is on the PATH")
