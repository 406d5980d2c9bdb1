"""The guide to sending: its project, scripts and commands work as they stand there."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

import pytest

from asgi_redis import ChannelFull, RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.guides import REDIS, Guide, Project
from tests.support.waiting import eventually

pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]


def page(section: str) -> Guide:
    return Guide("send.rst", section)


@pytest.fixture
def layer(fresh_redis_server: RedisServer) -> RedisChannelLayer:
    return RedisChannelLayer(hosts=[fresh_redis_server.url])


@pytest.fixture
def project(tmp_path: Path, fresh_redis_server: RedisServer) -> Project:
    return Project(tmp_path, fresh_redis_server.url).add(page("Prepare the project"))


def execute(code: str, redis_url: str) -> dict[str, object]:
    """Run code of the page in this process; return its names."""
    names: dict[str, object] = {}
    exec(compile(code.replace(REDIS, redis_url), "send.rst", "exec"), names)
    return names


def test_the_management_command(project: Project, layer: RedisChannelLayer) -> None:
    section = page("Send from a management command")
    project.add(section)
    layer.group_add("editors", "desk")
    (command,) = section.commands()
    assert project.run(*shlex.split(command)) == "sent; 0 full channels did not get it\n"
    assert layer.receive(["desk"]) == ("desk", {"text": "The press is here"})


VIEW = """
from django.test import Client
from asgi_redis import get_channel_layer

print(Client().get("/upload/42/").status_code)
for _ in range(99):
    get_channel_layer().send("thumbnails", {})
full = Client().get("/upload/42/")
print(full.status_code, full.headers["Retry-After"])
"""


def test_the_view(project: Project) -> None:
    section = page("Send from a view")
    project.add(section)
    assert "202\n503 5\n" in project.run("python", "manage.py", "shell", "-v", "0", "-c", VIEW)
    peek = section.commands()[-1]
    assert '5 B  thumbnails  {"id": 42}' in project.run(*shlex.split(peek))


COMMIT = """
from django.db import transaction
from mysite.orders import create

try:
    with transaction.atomic():
        create("undone")
        raise ZeroDivisionError
except ZeroDivisionError:
    create("done")
"""


def test_a_message_after_the_commit(project: Project, layer: RedisChannelLayer) -> None:
    project.add(page("Send after the commit"))
    project.run("python", "manage.py", "migrate", "-v", "0")
    project.run("python", "manage.py", "shell", "-v", "0", "-c", COMMIT)
    assert [content for _, content in layer.receive_batch(["created"], 10)] == [{"id": 1}]


def test_the_task_in_a_worker_of_celery(project: Project, layer: RedisChannelLayer) -> None:
    pytest.importorskip("celery")
    section = page("Send from a Celery task")
    project.add(section)
    worker, send, _ = map(shlex.split, section.commands())
    with project.running(*worker) as celery:
        project.run(*send)
        assert layer.receive_batch(["thumbnails"], 1, 100) == [("thumbnails", {"id": 42})]
        celery.signal(15)
        celery.wait()


EAGER = """
from mysite.celery import app
from mysite.tasks import make_thumbnail

app.conf.task_always_eager = True
result = make_thumbnail.apply_async([42], countdown=0)
print(result.state, result.result)
"""


def test_the_task_is_tried_again_when_the_channel_is_full(project: Project, layer: RedisChannelLayer) -> None:
    pytest.importorskip("celery")
    project.add(page("Send from a Celery task"))
    for _ in range(100):
        layer.send("thumbnails", {})
    said = project.run("python", "manage.py", "shell", "-v", "0", "-c", EAGER)
    assert "FAILURE channel thumbnails holds 100 messages, its capacity" in said
    assert layer.channel_statistics("thumbnails")["channel_full_count"] == 6


def test_threads_and_delays(layer: RedisChannelLayer, fresh_redis_server: RedisServer) -> None:
    execute(page("Send from threads").code("ThreadPoolExecutor"), fresh_redis_server.url)
    numbers = sorted(content["id"] for _, content in layer.receive_batch(["thumbnails"], 50))
    assert numbers == list(range(20))
    execute(page("Send later").code("delayed.send"), fresh_redis_server.url)
    assert layer.receive(["thumbnails"]) == (None, None)

    def delivered() -> object:
        layer.delayed.deliver()
        return layer.receive(["thumbnails"])[1]

    assert eventually(delivered) == {"id": 42}


def test_the_scripts(project: Project, layer: RedisChannelLayer) -> None:
    section = page("Send from a script without Django")
    project.add(section)
    for command in section.commands():
        project.run("sh", "-c", command.replace(REDIS, project.redis_url))
    received = layer.receive_batch(["reports"], 10)
    assert received == [("reports", {"day": "2026-11-29"})] * 3


def test_a_patient_send(redis_server: RedisServer, prefix: str) -> None:
    layer = RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, capacity=1)
    send = execute(page("Handle the errors").code("def send_patiently"), redis_server.url)["send_patiently"]
    assert callable(send)
    send(layer, "jobs", {"n": 1})
    with pytest.raises(ChannelFull):
        send(layer, "jobs", {"n": 2}, 0.1)
    waiting = threading.Thread(target=send, args=[layer, "jobs", {"n": 3}])
    waiting.start()
    assert layer.receive(["jobs"]) == ("jobs", {"n": 1})
    waiting.join()
    assert layer.receive(["jobs"]) == ("jobs", {"n": 3})
