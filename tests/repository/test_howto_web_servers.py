"""The guide to web servers: its configurations run, and each process sends on its own connection."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.guides import REDIS, Guide, Project
from tests.support.interface.serving import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]
REQUESTS = 12


@pytest.fixture
def project(tmp_path: Path, fresh_redis_server: RedisServer) -> Project:
    return Project(tmp_path, fresh_redis_server.url).add(Guide("web_servers.rst", "Prepare the project"))


def check_server(project: Project, section: str, command: list[str], file: str) -> None:
    """Start a server by its configuration; its processes answer, and send each job once."""
    project.add(Guide("web_servers.rst", section)).add(Guide("web_servers.rst", "Limit the connections"))
    port, keeper = free_port()
    path = project.folder / file
    path.write_text(path.read_text().replace(":8000", f":{port}"))
    url = f"http://127.0.0.1:{port}/job/"

    def ask(_: object = None) -> str:
        with urllib.request.urlopen(url, timeout=60) as response:
            return str(response.read().decode())

    with keeper, project.running(*command) as server:
        eventually(ask, timeout=100)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, range(REQUESTS)))
        assert server.running
        assert all(answer.startswith("sent by process ") for answer in answers)
        with redis.Redis.from_url(project.redis_url, protocol=2) as client:
            names = {entry["name"] for entry in client.client_list()}
        clients = {int(name.rsplit(":", 1)[1]) for name in names if name.startswith("asgi-redis:client:")}
        assert {int(answer.split()[-1]) for answer in answers} <= clients
        with RedisChannelLayer(hosts=[project.redis_url]) as layer:
            assert len(layer.receive_batch(["jobs"], 100)) >= REQUESTS + 1
        server.signal(15)
        server.wait(60)


def test_uwsgi(project: Project) -> None:
    pytest.importorskip("pyuwsgi")
    command, *_ = map(shlex.split, Guide("web_servers.rst", "uWSGI").commands())
    assert command[0] == "uwsgi"
    pyuwsgi = ["python", "-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"]
    check_server(project, "uWSGI", [*pyuwsgi, *command[1:]], "uwsgi.ini")


@pytest.mark.parametrize("number", [0, pytest.param(2, marks=pytest.mark.soak)], ids=["gthread", "gevent"])
def test_gunicorn(project: Project, number: int) -> None:
    pytest.importorskip("gunicorn")
    command = shlex.split(Guide("web_servers.rst", "gunicorn").commands()[number])
    check_server(project, "gunicorn", command, "gunicorn_gevent.conf.py" if number else "gunicorn.conf.py")


def test_programs_with_greenlets_and_with_forks(project: Project) -> None:
    pytest.importorskip("gevent")
    project.write("greenlets.py", Guide("web_servers.rst").code("monkey.patch_all()", "gevent.spawn"))
    assert project.run("python", "greenlets.py") == ""
    project.add(Guide("web_servers.rst", "Forks"))
    assert "names of processes: True" in project.run("python", "-W", "ignore", "forks.py")
    with RedisChannelLayer(hosts=[project.redis_url]) as layer:
        numbers = sorted(content["n"] for _, content in layer.receive_batch(["jobs"], 100))
    assert numbers == sorted([*range(10), 0, 1, 2])


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli")
def test_the_connections_are_listed_by_process(redis_server: RedisServer, prefix: str) -> None:
    (command,) = Guide("web_servers.rst", "Limit the connections").commands()
    command = command.replace("redis-cli", f"redis-cli -p {redis_server.port}")
    # In a process of its own: this one may have been a worker in another test.
    program = f"""
import subprocess
from asgi_redis import RedisChannelLayer
with RedisChannelLayer(hosts=["{redis_server.url}"], prefix="{prefix}") as layer:
    layer.receive(["nothing"])
    subprocess.run(["sh", "-c", {command!r}], check=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "name=asgi-redis:client:" in done.stdout


# Not importorskip: once imported, eventlet warns of every fork of the process.
@pytest.mark.skipif(find_spec("eventlet") is None, reason="needs eventlet")
def test_eventlet_is_refused() -> None:
    program = f"""
import eventlet
eventlet.monkey_patch()
from asgi_redis import RedisChannelLayer
RedisChannelLayer(hosts=["{REDIS}"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "UnsupportedPatches" in done.stderr
