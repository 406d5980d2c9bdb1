"""``--processes N`` with real workers."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess
from tests.unit.workers.operations.test_systemd import Supervisor as Notified

Start = Callable[..., WorkerProcess]

pytestmark = pytest.mark.native("processes and signals of the system")


@pytest.fixture
def start(redis_server: RedisServer, prefix: str, notes: Notes, tmp_path: Path) -> Iterator[Start]:
    """Starts two processes with more flags, and returns when both listen."""
    started: list[WorkerProcess] = []

    def start(*flags: str, directory: Path | None = None, **env: str) -> WorkerProcess:
        connection = ["--layer-url", redis_server.url, "--prefix", prefix, "--processes", "2"]
        routing = [] if "--routing" in flags else ["--routing", "tests.support.workers.consumers.routing"]
        command = [*MODULE, *connection, *routing, *flags]
        where = {} if directory is None else {"cwd": directory}
        started.append(WorkerProcess(command, tmp_path, env={**notes.env, **env}, **where))
        eventually(lambda: len(pids(started[-1])) == 2 or not started[-1].running, timeout=30)
        return started[-1]

    yield start
    for worker in started:
        if worker.running:
            worker.signal(signal.SIGTERM)
            worker.wait()


def pids(worker: WorkerProcess) -> list[int]:
    """The processes that have said that they listen."""
    return [int(pid) for pid in re.findall(r"INFO (\d+) \S+ workers\.worker: Listening on", worker.log)]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("pool", ["thread", pytest.param("gevent", marks=pytest.mark.soak)])
def test_all_work_have_one_metrics_port_and_stop_together(
    start: Start, layer: RedisChannelLayer, notes: Notes, tmp_path: Path, pool: str
) -> None:
    beat = tmp_path / "beat"
    worker = start("--metrics-port", "0", "--heartbeat-file", str(beat), "--pool", pool, "--concurrency", "1")
    sent = 60
    for n in range(sent):
        layer.send("work", {"n": n, "seconds": 0.02})
    os.utime(beat, (0, 0))
    url: Any = re.search(r"Metrics are at (\S+)", worker.log)

    def done(process: int) -> float:
        with urllib.request.urlopen(url[1]) as response:
            text = response.read().decode()
        assert text.count("runworker_layer_up 1\n") == text.count("# TYPE runworker_messages_total counter\n") == 1
        assert f'runworker_process_up{{process="{process}"}} 1\n' in text
        return float(re.findall(rf'runworker_messages_total{{channel="work",process="{process}"}} (\d+)', text)[0])

    eventually(lambda: done(0) > 0 and done(1) > 0)
    eventually(lambda: beat.stat().st_mtime > 0)
    worker.stop()
    assert notes.numbers("started") == notes.numbers("done")
    left = [content["n"] for _, content in layer.receive_batch(["work"], sent)]
    assert sorted(notes.numbers("done") + left) == list(range(sent))
    assert "Traceback" not in worker.log
    assert not any(map(runs, pids(worker)))


def test_a_wrong_configuration_is_one_line_and_exit_code_1(start: Start) -> None:
    worker = start("--only-channels", "nothing")
    assert worker.wait() == 1
    assert worker.log.count("no channels to listen on") == 1


@pytest.mark.soak
class TestVariants:
    def test_processes_end_when_their_supervisor_is_killed(self, start: Start) -> None:
        worker = start()
        worker.signal(signal.SIGKILL)
        eventually(lambda: not any(map(runs, pids(worker))))
        assert worker.log.count("The supervisor of the processes has gone: stopping") == 2

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_a_second_signal_kills(
        self, start: Start, layer: RedisChannelLayer, notes: Notes, number: int, code: int
    ) -> None:
        worker = start()
        for n in range(2):
            layer.send("hold", {"n": n})
        eventually(lambda: len(notes["started"]) == 2)
        worker.signal(number)
        eventually(lambda: worker.log.count("stopping; 1 consumers run") == 2)
        noticed = time.monotonic()
        eventually(lambda: time.monotonic() - noticed > 1.2)
        worker.signal(number)
        assert worker.wait(10) == code
        assert not any(map(runs, pids(worker)))

    def test_past_the_shutdown_timeout_it_exits_with_3(
        self, start: Start, layer: RedisChannelLayer, notes: Notes
    ) -> None:
        worker = start("--shutdown-timeout", "0.2")
        layer.send("hold", {"n": 0})
        eventually(lambda: notes["started"])
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 3

    def test_max_messages_replaces_processes_and_loses_nothing(
        self, start: Start, layer: RedisChannelLayer, notes: Notes
    ) -> None:
        worker = start("--max-messages", "5")
        for n in range(40):
            layer.send("work", {"n": n})
        eventually(lambda: notes.numbers("done") == list(range(40)), timeout=50)
        eventually(lambda: "another takes its place" in worker.log)
        worker.stop()
        assert "has died" not in worker.log

    def test_a_burst_ends_when_all_is_done(self, start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
        for n in range(20):
            layer.send("work", {"n": n})
        worker = start("--burst")
        assert worker.wait() == 0
        assert notes.numbers("done") == list(range(20))

    def test_systemd_is_told_by_the_supervisor_alone(self, start: Start, tmp_path: Path) -> None:
        notified = Notified(str(tmp_path / "notify"))
        worker = start(NOTIFY_SOCKET=notified.address, WATCHDOG_USEC="1000000")
        eventually(lambda: "READY=1" in notified.lines and notified.lines.count("WATCHDOG=1") > 1)
        worker.stop()
        assert notified.lines.count("READY=1") == notified.lines.count("STOPPING=1") == 1
        notified.socket.close()

    @pytest.mark.parametrize("pool", ["thread", "gevent"])
    def test_each_reloads_and_keeps_its_place(self, start: Start, tmp_path: Path, pool: str) -> None:
        (tmp_path / "shop.py").write_text("from workers import route\nrouting = [route('one', print)]\n")
        flags = ["--routing", "shop.routing", "--reload", "--metrics-port", "0", "--pool", pool]
        worker = start(*flags, directory=tmp_path)
        before = pids(worker)
        (tmp_path / "shop.py").write_text("from workers import route\nrouting = [route('two', print)]\n")
        eventually(lambda: worker.log.count("(asgi.delay, two)") == 2, timeout=40)
        assert sorted(pids(worker)) == sorted(before * 2)
        url: Any = re.search(r"Metrics are at (\S+)", worker.log)
        eventually(
            lambda: urllib.request.urlopen(url[1]).read().count(b'runworker_messages_total{channel="two"') == 2
        )
        worker.stop()
        assert "has died" not in worker.log

    def test_from_manage_py_under_gevent(
        self, redis_server: RedisServer, prefix: str, notes: Notes, tmp_path: Path
    ) -> None:
        (tmp_path / "settings_of_test.py").write_text(
            "SECRET_KEY = 'x'\nINSTALLED_APPS = ['workers']\nCHANNEL_LAYERS = {'default': {"
            f"'BACKEND': 'asgi_redis.RedisChannelLayer', 'CONFIG': {{'hosts': ['{redis_server.url}'], "
            f"'prefix': '{prefix}'}}, 'ROUTING': 'tests.support.workers.consumers.routing'}}}}\n"
        )
        (tmp_path / "manage.py").write_text(
            "import sys\nfrom django.core.management import execute_from_command_line\n"
            "execute_from_command_line(sys.argv)\n"
        )
        env = {**notes.env, "DJANGO_SETTINGS_MODULE": "settings_of_test"}
        command = [sys.executable, "manage.py", "runworker", "--processes", "2", "--pool", "gevent"]
        with WorkerProcess(command, tmp_path, cwd=tmp_path, env=env) as worker:
            eventually(lambda: len(pids(worker)) == 2, timeout=30)
            worker.stop()
            assert "Traceback" not in worker.log
