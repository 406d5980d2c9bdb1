"""The site, built once, and a browser without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    """Selenium's driver of a chromium with the window of a phone; without one the tests are skipped."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: tox -e docs")
    chromedriver = shutil.which("chromedriver")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser or not chromedriver:
        pytest.skip("no chromium with chromedriver on the PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")  # a container's /dev/shm is small
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": 390, "height": 844}})
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")  # chromium's own condition for running as root
    with webdriver.Chrome(options, webdriver.ChromeService(chromedriver)) as running:
        yield running
