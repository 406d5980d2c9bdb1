"""The test case with a server: requests, websockets, the database, static files."""

from __future__ import annotations

import json
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("django")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets.sync.client")

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from websockets.sync import client

import asgi_redis
from asgi_redis import InMemoryChannelLayer
from tests.support.workers.project import database
from workers import Group, Message, route
from workers.test import ChannelLiveServerTestCase

__all__ = ["database"]

pytestmark = pytest.mark.native("the server has a thread")


def users(request: Any) -> HttpResponse:
    get_user_model().objects.create_user(f"by-request-{request.GET['name']}")
    return HttpResponse(",".join(get_user_model().objects.order_by("id").values_list("username", flat=True)))


def join(message: Message) -> None:
    message.reply_channel.send({"accept": True})
    Group("all").add(message.reply_channel)


def count(message: Message) -> None:
    message.reply_channel.send({"text": json.dumps([message["text"], get_user_model().objects.count()])})


class Urls:
    urlpatterns = (path("users", users),)


@pytest.fixture(autouse=True, scope="module")
def _settings(database: None) -> Any:
    layer = {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "ROUTING": [route("websocket.connect", join), route("websocket.receive", count)],
    }
    with override_settings(CHANNEL_LAYERS={"default": layer}, ROOT_URLCONF=Urls):
        yield


class TestLiveServer(ChannelLiveServerTestCase):
    def test_a_view_and_the_test_share_the_database(self) -> None:
        get_user_model().objects.create_user("by-test")
        with urllib.request.urlopen(f"{self.live_server_url}/users?name=a", timeout=20) as response:
            assert response.read() == b"by-test,by-request-a"
        assert get_user_model().objects.count() == 2

    def test_it_is_empty_for_the_next_test(self) -> None:
        with urllib.request.urlopen(f"{self.live_server_url}/users?name=b", timeout=20) as response:
            assert response.read() == b"by-request-b"

    def test_websockets_reach_consumers_and_the_groups_of_the_test(self) -> None:
        with client.connect(f"{self.live_server_ws_url}/chat") as websocket:
            websocket.send("hello")
            assert json.loads(websocket.recv(20)) == ["hello", 0]
            Group("all").send({"text": "from the test"})
            assert websocket.recv(20) == "from the test"


def outcome(case: type[ChannelLiveServerTestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.TestSuite([case()]).run(result)
    return result


def test_static_files_are_served_unless_they_are_not_wanted(tmp_path: Path) -> None:
    class Case(ChannelLiveServerTestCase):
        def runTest(self) -> None:
            with urllib.request.urlopen(f"{self.live_server_url}/static/page.css", timeout=20) as response:
                assert response.read() == b"body {}"

    class Without(ChannelLiveServerTestCase):
        serve_static = False

        def runTest(self) -> None:
            with pytest.raises(urllib.error.HTTPError, match="404") as raised:
                urllib.request.urlopen(f"{self.live_server_url}/static/page.css", timeout=20)
            raised.value.close()

    (tmp_path / "page.css").write_text("body {}")
    installed = [*settings.INSTALLED_APPS, "django.contrib.staticfiles"]
    with override_settings(STATIC_URL="/static/", STATICFILES_DIRS=[tmp_path], INSTALLED_APPS=installed):
        for case in (Case, Without):
            result = outcome(case)
            assert result.errors == result.failures == []


def test_the_layer_is_that_of_the_test_config() -> None:
    class Case(ChannelLiveServerTestCase):
        def runTest(self) -> None:
            layer = asgi_redis.get_channel_layer()
            assert isinstance(layer, InMemoryChannelLayer)
            assert layer.capacity == 7

    entry = {"BACKEND": "asgi_redis.InMemoryChannelLayer", "TEST_CONFIG": {"capacity": 7}, "ROUTING": []}
    with override_settings(CHANNEL_LAYERS={"default": entry}):
        result = outcome(Case)
        assert result.errors == result.failures == []


def test_a_database_in_memory_is_an_error_of_the_test_and_the_others_run() -> None:
    class Other(unittest.TestCase):
        def runTest(self) -> None:
            pass

    class Case(ChannelLiveServerTestCase):
        def runTest(self) -> None:
            raise AssertionError("it has run")

    with mock.patch.object(connection, "is_in_memory_db", return_value=True):
        result = unittest.TestResult()
        unittest.TestSuite([Case(), Other()]).run(result)
    assert [type(test) for test, _ in result.errors] == [Case]
    assert "in memory: give it a TEST NAME" in result.errors[0][1]
    assert (result.testsRun, result.failures) == (2, [])
    with mock.patch.object(connection, "is_in_memory_db", return_value=True), pytest.raises(ImproperlyConfigured):
        Case().debug()


def test_a_test_that_is_skipped_needs_no_server() -> None:
    @unittest.skip("no browser")
    class Skipped(ChannelLiveServerTestCase):
        def runTest(self) -> None:
            raise AssertionError("it has run")

    class WithSkipped(ChannelLiveServerTestCase):
        @unittest.skip("no browser")
        def runTest(self) -> None:
            raise AssertionError("it has run")

    for case in (Skipped, WithSkipped):
        with mock.patch.object(connection, "is_in_memory_db", return_value=True):
            result = outcome(case)
        assert (result.errors, len(result.skipped)) == ([], 1)
