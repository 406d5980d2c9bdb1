"""The guide to consumers: its project runs in a worker, and passes tests with clients of websockets."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.guides import REDIS, Guide, Project
from tests.support.waiting import eventually

pytest.importorskip("django")
pytestmark = [pytest.mark.native("processes"), pytest.mark.timeout(240)]

TESTS = """
from django.contrib.auth.models import Group as Team, User
from workers.test import ChannelTestCase, WSClient

JOIN, FRAME = "websocket.connect", "websocket.receive"


class Consumers(ChannelTestCase):
    def connected(self, path, user=None, **kwargs):
        client = WSClient(**kwargs)
        if user:
            client.force_login(user)
        client.send_and_consume(JOIN, path=path)
        return client

    def said(self, client, path, text):
        client.send_and_consume(FRAME, text=text, path=path)
        return client.receive(json=False)

    def test_functions(self):
        path = "/chat/tea/"
        anna, ben = self.connected(path), self.connected(path)
        self.assertEqual(self.said(anna, path, "hello"), "sent")
        self.assertEqual(ben.receive(json=False), "hello")
        self.assertIsNone(anna.receive())
        self.assertEqual(self.said(anna, path, "bye"), {"close": 3000})
        anna.send_and_consume("websocket.disconnect", path=path)
        self.assertEqual(self.said(ben, path, "alone"), "sent")
        self.assertIsNone(anna.receive())
        closed = WSClient()
        from workers import DenyConnection
        with self.assertRaises(DenyConnection):
            closed.send_and_consume(JOIN, path="/chat/closed/", check_accept=False)

    def test_classes(self):
        path = "/board/tea/"
        client = self.connected(path)
        client.send_and_consume(FRAME, text={"n": 1}, path=path)
        self.assertEqual(client.receive(), {"n": 1})
        self.assertEqual(self.said(client, path, {"close": True}), {"close": 3001})
        client = self.connected("/streams/")
        client.send_and_consume(FRAME, text={"stream": "echo", "payload": {"n": 1}}, path="/streams/")
        self.assertEqual(client.receive(), {"stream": "echo", "payload": {"echo": {"n": 1}}})

    def test_users(self):
        client = self.connected("/members/", User.objects.create_user("anna"))
        self.assertEqual(self.said(client, "/members/", "x"), "line 1 of anna")
        self.assertEqual(self.said(client, "/members/", "x"), "line 2 of anna")
        with self.assertRaises(AssertionError):
            self.connected("/members/")

    def test_order(self):
        client = self.connected("/ordered/", ordered=True)
        self.assertEqual(self.said(client, "/ordered/", "x"), "frame 1")

    def test_origins(self):
        from workers import DenyConnection
        with self.settings(ALLOWED_HOSTS=["ours.example"]):
            client = WSClient()
            client.set_header("origin", b"https://theirs.example")
            with self.assertRaises(DenyConnection):
                client.send_and_consume(JOIN, path="/private/")
            client.set_header("origin", b"https://ours.example")
            client.send_and_consume(JOIN, path="/private/")

    def test_bindings(self):
        staff = User.objects.create_user("staff", is_staff=True)
        client, other = self.connected("/teams/", staff), self.connected("/teams/", User.objects.create_user("x"))
        team = Team.objects.create(name="red")
        payload = {"action": "create", "pk": team.pk, "data": {"name": "red"}, "model": "auth.group"}
        self.assertEqual(client.receive(), {"stream": "teams", "payload": payload})
        change = {"stream": "teams", "payload": {"action": "update", "pk": team.pk, "data": {"name": "blue"}}}
        other.send_and_consume(FRAME, text=change, path="/teams/")
        self.assertEqual(Team.objects.get().name, "red")
        client.send_and_consume(FRAME, text=change, path="/teams/")
        self.assertEqual(Team.objects.get().name, "blue")
        self.assertEqual(client.receive()["payload"]["data"], {"name": "blue"})

    def test_a_later_response(self):
        request = {"method": "GET", "path": "/report/", "headers": [], "query_string": b""}
        client = WSClient()
        client.channel_layer.send("http.request", {"reply_channel": client.reply_channel, **request})
        from workers import route
        from workers.handler import ViewConsumer
        from workers.test import apply_routes
        with apply_routes([route("http.request", ViewConsumer()), route("slow.report", "mysite.slow.report")]):
            client.consume("http.request")
            self.assertIsNone(client.receive())
            client.consume("slow.report")
        self.assertEqual(client.receive(json=False)["content"], b"the report")
"""


@pytest.fixture
def project(tmp_path: Path, fresh_redis_server: RedisServer) -> Project:
    return Project(tmp_path, fresh_redis_server.url).add(Guide("consumers.rst"))


def test_a_worker_runs_them(project: Project, fresh_redis_server: RedisServer) -> None:
    run, send = map(shlex.split, Guide("consumers.rst", "Handle a message").commands())
    assert run[-2:] == ["--threads", "4"]
    # One thread, or the lines that several print are mixed up.
    with project.running(*run[:-1], "1") as worker, RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer:
        worker.listens()
        assert "ready for messages" in worker.log
        project.run(*send)
        for channel, message in [
            ("reports", {"kind": "daily/2026-11-29"}),
            ("reports", {"kind": "weekly"}),
            ("media", {"name": "audio/song.wav"}),
            ("publish", {"id": 7}),
            ("payments", {"id": 1}),
            ("remind", {}),
            ("fetch", {"url": "example"}),
        ]:
            layer.send(channel, message)
        layer.group_add("editors", "seen")
        for line in [
            "thumbnail of 42 in small",
            "report of 2026-11-29",
            "no such report: weekly",
            "encoding song",
            "thumbnail of 7 in large",
            "log: begun",
            "paid after 3 tries",
            "log: in a moment\n",
            "log: in a moment, too",
            "log: fetched example",
        ]:
            eventually(lambda line=line: line in worker.log, 40)
        worker.stop()
        assert " 0 of them failed" in worker.log, worker.log


def test_its_websockets(project: Project) -> None:
    project.write("mysite/tests.py", TESTS)
    assert "OK" in project.run("python", "manage.py", "test", "mysite")


def test_a_worker_without_django(project: Project, fresh_redis_server: RedisServer) -> None:
    (command,) = Guide("consumers.rst", "Work without Django").commands()
    with RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer:
        layer.send("jobs", {"n": 1})
    command = command.replace(REDIS, fresh_redis_server.url)
    assert "job 1\n" in project.run("sh", "-c", f"{command} --burst")
