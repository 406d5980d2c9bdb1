"""The site, built once, and a browser without a screen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import run_chromium

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages; a warning of Sphinx is an error."""
    for package in ("sphinx", "furo", "sphinx_copybutton"):
        pytest.importorskip(package, reason=f"no {package}: tox -e docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "--keep-going", "-b", "html"]
    done = subprocess.run([*command, "docs", folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """Selenium's driver of a chromium with the window of a phone."""
    with run_chromium(width=390) as running:
        yield running
