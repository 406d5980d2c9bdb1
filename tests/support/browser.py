"""A chromium without a screen, driven by Selenium."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def run_chromium(width: int | None = None, height: int = 844) -> Iterator[Any]:
    """
    Yields Selenium's driver of a chromium; skips the test where one of the parts is missing.

    With ``width``, in pixels, the browser is that of a phone.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: tox -e browser, tox -e docs")
    chromedriver = shutil.which("chromedriver")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser or not chromedriver:
        pytest.skip("no chromium with chromedriver on the PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")  # a container's /dev/shm is small
    if width is not None:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": width, "height": height}})
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")  # chromium's own condition for running as root
    with webdriver.Chrome(options, webdriver.ChromeService(chromedriver)) as running:
        yield running
