"""Real servers, whose processes are forked after the application was loaded and has used its layers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import asgi_redis
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("servers")

ROOT = Path(asgi_redis.__file__).parent.parent
SYNC = ["redis", "local", "ipc", "django", "memory"]
KINDS = [*SYNC, "pubsub", "aio-redis", "aio-pubsub", "aio-ipc"]
SHARING = {"redis", "local", "ipc", "django", "aio-redis", "aio-ipc"}
PROCESSES, ROUNDS = 3, 5


@pytest.fixture
def environment(redis_server, prefix, base):  # noqa: F811
    return {
        **os.environ,
        "REDIS_URLS": redis_server.url,
        "PREFIX": prefix,
        "IPC_PATH": str(base),
        "PYTHONPATH": str(ROOT),
        "USED_AT_START": " ".join(SYNC),
        "MULE_REPORTS": str(base),
    }


@contextlib.contextmanager
def running(command, environment, log):
    """A server, all of whose processes are gone in the end."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield server
    except BaseException:
        sys.stdout.write(log.read_text())
        raise
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


class Connection(http.client.HTTPConnection):
    """Over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=40)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path, who):
    with contextlib.closing(Connection(path)) as connection:
        connection.request("GET", f"/{who}")
        return json.loads(connection.getresponse().read())


def reports_of(path, processes, at_once=6):
    """Asks until each of the processes has answered; returns all reports."""
    reports = []
    with ThreadPoolExecutor(at_once) as pool:

        def enough():
            names = [f"r{len(reports) + number}" for number in range(at_once)]
            reports.extend(pool.map(lambda who: ask(path, who), names))
            return len({report.get("pid") for report in reports}) >= processes

        eventually(enough, 40)
    return reports


def check(reports, environment, kinds, at_start):
    """Whether each process had connections and names of its own, and nothing was lost, doubled or merged."""
    assert [report["error"] for report in reports if "error" in report] == []
    for kind in kinds:
        pairs = {(report["pid"], report["prefixes"][kind]) for report in reports}
        pids, prefixes = zip(*pairs)
        assert len(set(pids)) == len(set(prefixes)) == len(pairs), f"{kind}: {pairs}"
    program = "import json\nfrom tests.support.forks.preloaded import *\n"
    program += "print(json.dumps({k: sent_of(k) for k in LAYERS}))"
    shared = [kind for kind in kinds if kind in SHARING]
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "KINDS": " ".join(shared)},
        capture_output=True,
        text=True,
        check=True,
        timeout=40,
    )
    for kind, numbers in json.loads(said.stdout).items():
        expected = {number: len(reports) for number in range(ROUNDS)}
        expected[0] += at_start if kind in environment["USED_AT_START"].split() else 0
        assert Counter(numbers) == expected, kind


UWSGI = {
    # Without --enable-threads no thread runs in uWSGI, which the other layers need.
    "prefork": (["--master"], SYNC),
    "without a master": ([], SYNC),
    # With them it forks in C beside whatever threads the application has started: none, where these layers were made
    # and not used.
    "threads": (["--master", "--enable-threads", "--threads", "2"], KINDS),
    "lazy-apps": (["--master", "--enable-threads", "--lazy-apps"], KINDS),
    "afterfork": (["--master", "--enable-threads", "--py-call-osafterfork"], KINDS),
    "fork hooks": (["--master", "--enable-threads", "--py-call-uwsgi-fork-hooks"], KINDS),
    "mules": (
        ["--master", "--enable-threads", *["--mule=tests/support/forks/mule.py"] * 2],
        KINDS,
    ),
}


@pytest.mark.parametrize(
    "mode", [mode if mode == "prefork" else pytest.param(mode, marks=pytest.mark.soak) for mode in UWSGI]
)
def test_uwsgi(mode, environment, base, tmp_path):  # noqa: F811
    pytest.importorskip("pyuwsgi")
    options, kinds = UWSGI[mode]
    path, log, environment["KINDS"] = str(base / "http.sock"), tmp_path / "log", " ".join(kinds)
    command = ["-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])", "--http-socket", path, "--need-app"]
    command += ["--die-on-term", "--chdir", ROOT, "--pythonpath", ROOT, "--module", "tests.support.forks.wsgi"]
    with running([*command, "--processes", str(PROCESSES), *options], environment, log) as server:
        eventually(lambda: server.poll() is not None or ask(path, "ready"), 40)
        assert server.poll() is None, log.read_text()
        reports = [ask(path, "first"), *reports_of(path, PROCESSES)]
        if mode == "mules":
            eventually(lambda: len(list(base.glob("*.json"))) == 2, 30)
            reports += [json.loads(mule.read_text()) for mule in base.glob("*.json")]
        at_start = PROCESSES if mode == "lazy-apps" else 1
        ready = 1  # the request that has shown that it runs
        check([*reports, *[reports[0]] * ready], environment, kinds, at_start)


GUNICORN = {
    "sync": ([], KINDS),
    "gthread": (["--threads", "2"], KINDS),
    "gevent": ([], [*SYNC, "pubsub"]),  # event loops want native threads
}


@pytest.mark.parametrize(
    "kind", [kind if kind == "sync" else pytest.param(kind, marks=pytest.mark.soak) for kind in GUNICORN]
)
def test_gunicorn_with_a_preloaded_application(kind, environment, base, tmp_path):  # noqa: F811
    pytest.importorskip("gunicorn")
    if kind == "gevent":
        pytest.importorskip("gevent")
    options, kinds = GUNICORN[kind]
    path, log, environment["KINDS"] = str(base / "http.sock"), tmp_path / "log", " ".join(kinds)
    environment["USED_AT_START"] = environment["KINDS"]
    command = [
        "-m",
        "gunicorn",
        "--preload",
        "--worker-class",
        kind,
        "--workers",
        PROCESSES,
        "--bind",
        f"unix:{path}",
    ]
    with running([*command, *options, "tests.support.forks.wsgi:application"], environment, log) as server:
        eventually(lambda: server.poll() is not None or ask(path, "ready"), 40)
        assert server.poll() is None, log.read_text()
        reports = reports_of(path, PROCESSES)
        check([*reports, reports[0]], environment, kinds, 1)


@pytest.mark.soak
def test_celery_with_a_preloaded_module(environment, base, tmp_path):  # noqa: F811
    pytest.importorskip("celery")
    environment.update(KINDS=" ".join(SYNC), CELERY_BROKER=environment["REDIS_URLS"])
    environment["CELERY_QUEUE"] = queue = environment["PREFIX"]
    command = [
        "-m",
        "celery",
        "-A",
        "tests.support.forks.wsgi",
        "worker",
        "-P",
        "prefork",
        "-c",
        PROCESSES,
        "-Q",
        queue,
    ]
    asking = [sys.executable, "-m", "tests.support.forks.tasks"]
    with running([*command, "-l", "warning"], environment, tmp_path / "log"):
        said = subprocess.run(asking, env=environment, capture_output=True, text=True, timeout=60)
        assert said.returncode == 0, said.stderr
    check(json.loads(said.stdout), environment, SYNC, 1)


def report_from(start_method, number):
    """What a process of multiprocessing runs."""
    from tests.support.forks.preloaded import report

    return report(f"{start_method}{number}")


MULTIPROCESSING = """
import json, multiprocessing, sys
from tests.support.forks import wsgi
from tests.behaviour.forks.test_servers import report_from

if __name__ == "__main__":
    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["tests.support.forks.wsgi"]) if method == "forkserver" else None
    with context.Pool(3) as pool:
        reports = pool.starmap(report_from, [(method, number) for number in range(6)], chunksize=1)
    print(json.dumps([json.loads(one) for one in [wsgi.report("parent"), *reports]]))
"""


# How many processes import the module: the parent, the server, or each child.
STARTS = {"fork": 1, "forkserver": 2, "spawn": 4}


@pytest.mark.soak
@pytest.mark.parametrize("method", list(STARTS))
def test_multiprocessing(method, environment, tmp_path):
    environment.update(KINDS=" ".join(KINDS), USED_AT_START=" ".join(SYNC))
    program = tmp_path / "program.py"
    program.write_text(MULTIPROCESSING)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program), method]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=80)
    assert said.returncode == 0, said.stderr
    reports = json.loads(said.stdout)
    assert len({report.get("pid") for report in reports}) > 1
    check(reports, environment, KINDS, STARTS[method])
