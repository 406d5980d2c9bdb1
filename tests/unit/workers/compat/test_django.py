"""The worker in a Django project: ``manage.py runworker`` and ``python -m workers --settings``, as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.proxy import Proxy
from tests.support.servers import Sentinel
from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from tests.support.workers.processes import MODULE, ROOT, Notes, WorkerProcess
from workers.loops import coroutines
from workers.signals import consumer_finished, consumer_started

pytest.importorskip("django")

import tests.support.workers.project  # noqa: F401  settings
import workers.command.project as project_command
import workers.compat.django as workers_django
from workers.command.arguments import WorkerOptions

MANAGE = [sys.executable, "manage.py", "runworker"]
SETTINGS = {"DJANGO_SETTINGS_MODULE": "shop.settings"}

MANAGE_PY = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SETTINGS_PY = """
SECRET_KEY = "x"
INSTALLED_APPS = ["workers"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}}}
CHANNEL_LAYERS = {{
    "default": {{
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {{"hosts": ["{url}"], "prefix": "{prefix}"}},
        "ROUTING": "shop.routing.channel_routing",
    }},
    "second": {{
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {{"hosts": ["{url}"], "prefix": "{prefix}second"}},
    }},
}}
"""

ROUTING_PY = """
import threading

from asgiref.sync import sync_to_async
from django.db import connection
from django.dispatch import receiver

from tests.support.workers.consumers import fail, hold, note
from workers import Group, include, route
from workers.signals import consumer_started, worker_ready


@receiver(worker_ready)
def ready(sender, **kwargs):
    note("ready", ",".join(sender.channels))


@receiver(consumer_started)
def started(sender, **kwargs):
    note("signal", sender.__name__)


def order(message, id):
    note("fresh", connection.connection is None)
    connection.ensure_connection()
    note("thread", threading.current_thread().name)
    Group("kitchen").send({"id": id})
    note("done", id)


def fresh(id):
    note("fresh", connection.connection is None)
    connection.ensure_connection()
    note("done", id)


async def asynchronous(message):
    await sync_to_async(fresh)(message["id"])


orders = [route("orders", order, path="^/(?P<id>[0-9]+)")]
channel_routing = [include(orders, path="^/orders"), route("hold", hold), route("fail", fail)]
second_routing = {"hold": hold}
async_routing = {"orders": asynchronous}
"""


@pytest.fixture
def project(redis_server: RedisServer, prefix: str, tmp_path: Path) -> Path:
    package = tmp_path / "shop"
    package.mkdir()
    (tmp_path / "manage.py").write_text(MANAGE_PY)
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(SETTINGS_PY.format(url=redis_server.url, prefix=prefix))
    (package / "routing.py").write_text(ROUTING_PY)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(MANAGE, id="manage.py"),
        pytest.param([*MODULE, "--settings", "shop.settings"], id="module with --settings"),
        pytest.param(MODULE, id="module with DJANGO_SETTINGS_MODULE", marks=pytest.mark.soak),
    ],
)
def test_it_serves_the_layer_and_routing_of_the_settings(
    command: list[str], project: Path, notes: Notes, layer: RedisChannelLayer
) -> None:
    env = {**notes.env, **({} if "--settings" in command else SETTINGS)}
    layer.group_add("kitchen", "cook")
    with WorkerProcess([*command, "--threads", "1"], project, cwd=project, env=env) as worker:
        for n in (7, 8):
            layer.send("orders", {"path": f"/orders/{n}"})
        eventually(lambda: notes["done"] == ["7", "8"], timeout=20)
        assert notes["ready"] == ["asgi.delay,fail,hold,orders"]
        assert notes["signal"] == ["Worker", "Worker"]
        assert notes["thread"] == ["slot-1", "slot-1"]
        assert notes["fresh"] == ["True", "True"]  # the connection of the first message was closed
        assert eventually(lambda: layer.receive(["cook"])[1]) == {"id": "7"}
        assert "Listening on 4 channels (asgi.delay, fail, hold, orders)" in worker.log
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.log
        assert "Traceback" not in worker.log


def test_manage_py_starts_itself_again_under_gevents_patches(
    project: Path, notes: Notes, layer: RedisChannelLayer
) -> None:
    pytest.importorskip("gevent")
    command = [*MANAGE, "--pool", "gevent", "--concurrency", "3"]
    with WorkerProcess(command, project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        for n in (7, 8):
            layer.send("orders", {"path": f"/orders/{n}"})
        eventually(lambda: sorted(notes["done"]) == ["7", "8"], timeout=20)
        assert "with 3 slots" in worker.log
        assert notes["fresh"] == ["True", "True"]  # each greenlet has a connection of its own
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.log
        assert "Traceback" not in worker.log
        assert "Warning" not in worker.log


@pytest.mark.parametrize("pool", ["thread", pytest.param("gevent", marks=pytest.mark.soak)])
def test_connections_of_async_consumers_are_closed_in_the_thread_that_has_them(
    pool: str, project: Path, notes: Notes, layer: RedisChannelLayer
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    command = [*MANAGE, "--routing", "shop.routing.async_routing", "--pool", pool, "--concurrency", "1"]
    with WorkerProcess(command, project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        for n in (7, 8):
            layer.send("orders", {"id": n})
        eventually(lambda: notes["done"] == ["7", "8"], timeout=20)
        assert notes["fresh"] == ["True", "True"]
        worker.stop()
        assert "Traceback" not in worker.log


def test_another_layer_and_routing_may_be_chosen(project: Path, notes: Notes, redis_server: RedisServer) -> None:
    flags = ["--layer", "second", "--routing", "shop.routing.second_routing"]
    with WorkerProcess([*MANAGE, *flags], project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        worker.listens()
        assert "2 channels (asgi.delay, hold)" in worker.log


def test_exit_codes_are_those_of_the_worker(project: Path, notes: Notes, layer: RedisChannelLayer) -> None:
    command = [*MANAGE, "--shutdown-timeout", "0.1"]
    with WorkerProcess(command, project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        layer.send("hold", {"n": 1})
        eventually(lambda: notes["started"], timeout=20)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 3


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--layer", "third"], "no channel layer 'third'"),
        (["--layer", "second"], "no ROUTING in CHANNEL_LAYERS['second']"),
        (["--routing", "shop.routing.nothing"], "shop.routing.nothing"),
        (["--only-channels", "x"], "no channels to listen on"),
    ],
)
@pytest.mark.parametrize(
    "command", [pytest.param(MANAGE, id="manage.py", marks=pytest.mark.soak), pytest.param(MODULE, id="module")]
)
def test_a_wrong_configuration_exits_with_1_and_one_line(
    command: list[str], flags: list[str], complaint: str, project: Path, notes: Notes
) -> None:
    with WorkerProcess([*command, *flags], project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        assert worker.wait() == 1
        assert complaint in worker.log
        assert len(worker.log.splitlines()) == 1


@pytest.mark.parametrize(
    ("backend", "complaint"),
    [
        ("no.such.Layer", "cannot import the BACKEND 'no.such.Layer'"),
        ("asgi_redis.InMemoryChannelLayer", "InMemoryChannelLayer passes messages within one process only"),
    ],
)
@pytest.mark.parametrize("command", [pytest.param(MANAGE, id="manage.py"), pytest.param(MODULE, id="module")])
def test_a_layer_that_cannot_work_exits_with_1(
    command: list[str], backend: str, complaint: str, project: Path, notes: Notes
) -> None:
    """With ``manage.py``, the system check tells of it before."""
    with (project / "shop" / "settings.py").open("a") as settings:
        settings.write(f"CHANNEL_LAYERS['default'].update(BACKEND={backend!r}, CONFIG={{}})\n")
    with WorkerProcess(command, project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        assert worker.wait() == 1
        assert complaint in worker.log
        assert "Traceback" not in worker.log
        assert len(worker.log.splitlines()) == 1 or command == MANAGE


def test_the_logging_of_the_project_is_left_alone(project: Path, notes: Notes) -> None:
    with (project / "shop" / "settings.py").open("a") as settings:
        settings.write(
            textwrap.dedent("""
                LOGGING = {
                    "version": 1,
                    "disable_existing_loggers": False,
                    "formatters": {"f": {"format": "mine: %(message)s"}},
                    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
                    "root": {"handlers": ["h"], "level": "INFO"},
                }
            """)
        )
    with WorkerProcess(MANAGE, project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
        worker.listens()
        assert "mine: Listening" in worker.log
        assert worker.log.count("Listening") == 1


@pytest.mark.parametrize("comes_back", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_where_no_sentinel_answers_it_says_so_once_and_tries_again(
    comes_back: bool, project: Path, notes: Notes, sentinel: Sentinel, prefix: str
) -> None:
    """Its services are asked for when the layer is made; a signal ends it with 0 meanwhile."""
    with Proxy(sentinel.sentinels[0]) as proxy:
        proxy.refuse = True
        with (project / "shop" / "settings.py").open("a") as settings:
            settings.write(
                "CHANNEL_LAYERS['default'].update({'BACKEND': 'asgi_redis.RedisSentinelChannelLayer', 'CONFIG':"
                f" {{'hosts': [('127.0.0.1', {proxy.port})], 'prefix': '{prefix}'}}}})"
            )
        with WorkerProcess(MANAGE, project, cwd=project, env={**notes.env, **SETTINGS}) as worker:
            eventually(lambda: "does not serve messages" in worker.log, timeout=20)
            if comes_back:
                proxy.refuse = False
                worker.listens()
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0, worker.log
            assert worker.log.count("does not serve messages") == 1
            assert worker.log.count("serves messages again after") == comes_back
            assert "Traceback" not in worker.log


def test_connections_are_looked_after_before_and_after_each_message(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(project_command, "launch", lambda *_: 0)
    monkeypatch.setattr(project_command, "has_channels1", lambda: False)
    monkeypatch.setattr(workers_django, "get_channel_layer", lambda _: FakeLayer())
    monkeypatch.setattr(workers_django, "close_old_connections", lambda: calls.append("closed"))
    project_command.launch_in_project(WorkerOptions(routing="tests.support.workers.consumers.routing"))
    coroutines.call_around(None)
    consumer_started.send(sender=None, environ={})
    assert calls == ["closed"]
    consumer_finished.send(sender=None)
    assert calls == ["closed", "closed"]
    for signal_ in (consumer_started, consumer_finished):
        assert signal_.disconnect(dispatch_uid=workers_django.__name__)


def test_without_django_installed_it_says_how_to_get_it(tmp_path: Path) -> None:
    script = "import sys; sys.modules['django'] = None; from workers.command.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", script, "--settings", "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert 'pip install "asgi_redis[django]"' in ran.stderr
