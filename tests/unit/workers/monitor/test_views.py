"""The monitor's page in a project: who may see it, and what they may do."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from django.test import Client, override_settings
from django.urls import reverse

from asgi_redis.integrations.django import get_channel_layer
from asgi_redis.layers.base import BaseChannelLayer
from tests.support.documents.pages import Page
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT
from tests.support.workers.project import database

__all__ = ["database"]

pytestmark = pytest.mark.usefixtures("database")

GUIDE = Page(ROOT / "docs" / "howto" / "monitor.rst")
MEMORY = "asgi_redis.InMemoryChannelLayer"
SETTINGS = {
    "ROOT_URLCONF": "tests.support.monitor.urls",
    "ALLOWED_HOSTS": ["testserver"],
    "LOGIN_URL": "/accounts/login/",
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "CHANNEL_LAYERS": {
        "default": {"BACKEND": MEMORY},
        "second": {"BACKEND": MEMORY},
        "broken": {"BACKEND": MEMORY, "CONFIG": {"capacitty": 1}},
        "away": {"BACKEND": "asgi_redis.RedisSentinelChannelLayer", "CONFIG": {"hosts": [("127.0.0.1", 1)]}},
    },
}


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with override_settings(**SETTINGS):
        yield
        views = importlib.import_module("workers.monitor.views")
        for watched in views._watched.value.values():
            watched.close()


@pytest.fixture
def layer() -> BaseChannelLayer:
    return get_channel_layer()


@pytest.fixture
def client_of() -> Iterator[Callable[..., Client]]:
    """``client_of(*permissions, **flags)`` makes a user, and returns a browser that has logged in."""
    from django.contrib.auth.models import Permission, User

    exec(GUIDE.file("permissions.py"), {})
    made = []

    def make(*permissions: str, **flags: bool) -> Client:
        user = User.objects.create_user(f"user{len(made)}", **{"is_staff": True, **flags})
        made.append(user)
        for permission in permissions:
            user.user_permissions.add(Permission.objects.get(codename=permission))
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        return client

    yield make
    for user in made:
        user.delete()


def act(client: Client, what: str, layer: str = "default", **values: str) -> Any:
    token = client.get("/channels/facts").json()["token"]
    return client.post(f"/channels/{what}?layer={layer}", {"csrfmiddlewaretoken": token, **values})


def test_strangers_are_sent_to_the_login() -> None:
    response = Client().get("/channels/?layer=second")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/channels/%3Flayer%3Dsecond"
    assert Client().get("/channels/facts").status_code == 403


def test_where_the_admin_is_its_login_is_used() -> None:
    with override_settings(ROOT_URLCONF="tests.support.monitor.urls_with_admin"):
        assert Client().get("/channels/")["Location"] == "/admin/login/?next=/channels/"


@pytest.mark.parametrize("flags", [{"is_staff": False}, {"is_staff": False, "is_superuser": True}])
@pytest.mark.parametrize("what", ["", "page.js", "facts", "peek?channel=mail"])
def test_users_who_are_not_staff_see_nothing(client_of: Any, flags: Any, what: str) -> None:
    response = client_of(**flags).get(f"/channels/{what}")
    assert response.status_code == 403
    assert response.json() == {"error": "this page is for staff"}


def test_users_who_are_not_active_see_nothing(client_of: Any) -> None:
    """A project's back end may log them in."""
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"]):
        assert client_of(is_active=False, is_superuser=True).get("/channels/facts").status_code == 403


def test_without_djangos_users_all_are_strangers() -> None:
    with override_settings(MIDDLEWARE=[]):
        assert Client().get("/channels/").status_code == 302
        assert Client().get("/channels/facts").status_code == 403


def test_staff_see_the_page_and_the_facts(client_of: Any, layer: BaseChannelLayer) -> None:
    client = client_of()
    layer.send("mail", {})
    page = client.get(reverse("channels_monitor:page"))
    assert page.status_code == 200
    assert b"<h1>" in page.content
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert page["X-Frame-Options"] == "DENY"
    assert client.get("/channels/page.js")["Content-Type"] == "text/javascript; charset=utf-8"
    facts = eventually(lambda: (found := client.get("/channels/facts").json())["snapshot"]["channels"] and found)
    assert facts["layers"] == ["default", "second", "broken", "away"]
    assert facts["may"] == {"act": False, "read": False}
    assert "workers.manage_channels" in facts["note"]
    assert "workers.read_messages" in facts["note"]


def test_a_file_is_sent_once(client_of: Any) -> None:
    client = client_of()
    etag = client.get("/channels/page.css")["ETag"]
    again = client.get("/channels/page.css", HTTP_IF_NONE_MATCH=etag)
    assert (again.status_code, again.content) == (304, b"")


def test_a_head_has_no_body(client_of: Any) -> None:
    response = client_of().head("/channels/")
    assert (response.status_code, response.content) == (200, b"")


def test_each_layer_of_the_settings_can_be_looked_at(client_of: Any) -> None:
    client = client_of(is_superuser=True)
    get_channel_layer("second").send("mail", {})
    assert len(client.get("/channels/peek?channel=mail&layer=second").json()["messages"]) == 1
    assert client.get("/channels/peek?channel=mail").json()["messages"] == []
    assert act(client, "purge", "second", channel="mail").json() == {"deleted": 1}
    assert client.get("/channels/facts?layer=third").status_code == 404
    broken = client.get("/channels/facts?layer=broken")
    assert broken.status_code == 502
    assert "capacitty" in broken.json()["error"]
    away = client.get("/channels/facts?layer=away")
    assert away.status_code == 502
    assert "127.0.0.1:1" in away.json()["error"]


def test_without_a_default_layer_the_first_is_shown(client_of: Any) -> None:
    client = client_of()
    with override_settings(CHANNEL_LAYERS={"main": {"BACKEND": MEMORY}, "other": {"BACKEND": MEMORY}}):
        assert client.get("/channels/facts").json()["layer"] == "main"
    with override_settings(CHANNEL_LAYERS={}):
        assert client.get("/channels/facts").status_code == 404


def test_a_permission_allows_to_purge_and_to_quiet(client_of: Any, layer: BaseChannelLayer) -> None:
    client = client_of("manage_channels")
    layer.send("mail", {"text": "secret"})
    assert layer.registry is not None
    layer.registry.report("w1", {"role": "worker"})
    assert client.get("/channels/peek?channel=mail&content=1").status_code == 403
    assert act(client, "quiet", process="w1").json() == {"asked": True}
    assert act(client, "purge", channel="mail").json() == {"deleted": 1}


def test_a_permission_allows_to_read_messages(client_of: Any, layer: BaseChannelLayer) -> None:
    client = client_of("read_messages")
    layer.send("mail", {"text": "secret"})
    (message,) = client.get("/channels/peek?channel=mail&content=1").json()["messages"]
    assert "secret" in message["content"]
    response = act(client, "purge", channel="mail")
    assert response.status_code == 403
    assert "workers.manage_channels" in response.json()["error"]
    assert layer.receive(["mail"])[0] == "mail"


def test_superusers_may_do_all(client_of: Any, layer: BaseChannelLayer) -> None:
    client = client_of(is_superuser=True)
    layer.send("mail", {"text": "secret"})
    facts = client.get("/channels/facts").json()
    assert facts["may"] == {"act": True, "read": True}
    assert facts["note"] == ""
    assert "secret" in client.get("/channels/peek?channel=mail&content=1").json()["messages"][0]["content"]
    assert act(client, "purge", channel="mail").json() == {"deleted": 1}


@pytest.mark.parametrize("middleware", [True, False], ids=["with the middleware", "without"])
def test_an_action_takes_djangos_token(client_of: Any, layer: BaseChannelLayer, middleware: bool) -> None:
    client = client_of(is_superuser=True)
    layer.send("mail", {})
    kept = [name for name in SETTINGS["MIDDLEWARE"] if middleware or "Csrf" not in name]
    with override_settings(MIDDLEWARE=kept):
        assert client.post("/channels/purge", {"channel": "mail"}).status_code == 403
        assert client.get("/channels/purge?channel=mail").status_code == 405
        assert layer.receive(["mail"])[0] == "mail"


def test_other_methods_are_refused(client_of: Any) -> None:
    client = client_of(is_superuser=True)
    client.handler.enforce_csrf_checks = False
    assert client.delete("/channels/facts").status_code == 405
