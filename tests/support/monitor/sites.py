"""Servers of a project with the monitor's page, and people who log in to it."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import re
import signal
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT, WorkerProcess

PASSWORD = "difference engine"
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:0", "--workers", "2"]
SERVERS = {
    "threads": [*GUNICORN, "--preload", "--worker-class", "gthread", "--threads", "4", "tests.support.monitor.site"],
    "gevent": [*GUNICORN, "--worker-class", "gevent", "tests.support.monitor.site"],
    "asgi": ["uvicorn", "--port", "0", "--lifespan", "off", "tests.support.monitor.site:asgi_application"],
}


@contextlib.contextmanager
def run_site(command: Sequence[str], redis_url: str, prefix: str, directory: Path, **env: str) -> Iterator[str]:
    """Runs a server of the site, with a database of its own; gives its address."""
    environment = {
        "SITE_DATABASE": str(directory / "site.sqlite3"),
        "SITE_REDIS": redis_url,
        "SITE_PASSWORD": PASSWORD,
        "SITE_PREFIX": prefix,
        "PYTHONPATH": str(ROOT),
    }
    with WorkerProcess([sys.executable, "-m", "tests.support.monitor.site"], directory, env=environment) as making:
        assert making.wait(60) == 0, making.log
    with WorkerProcess([sys.executable, "-m", *command], directory, env={**environment, **env}) as server:

        def address() -> Any:
            return re.search(r"http://127\.0\.0\.1:\d+", server.log) or not server.running

        found = eventually(address, timeout=30)
        assert server.running, server.log
        yield found[0]
        server.signal(signal.SIGTERM)
        server.wait()


class Person:
    """A browser without pictures, that keeps its cookies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.process = ""
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def ask(self, path: str, **values: str) -> bytes:
        """Gets a page, or posts ``values`` with the token of its cookie."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Connection": "close"})
        if values:
            token = next(cookie.value for cookie in self._jar if cookie.name == "csrftoken")
            request.data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **values}).encode()
        with self._opener.open(request, timeout=30) as response:
            self.process = response.headers["X-Process"]
            content: bytes = response.read()
        return content

    def log_in(self, password: str) -> bytes:
        """Goes to the page, and through the login that is in the way."""
        assert b"password" in self.ask("/channels/")
        return self.ask("/admin/login/?next=/channels/", username="ada", password=password)

    def facts(self) -> Any:
        return json.loads(self.ask("/channels/facts"))
