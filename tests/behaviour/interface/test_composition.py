"""The interface as a part of a larger ASGI application."""

from __future__ import annotations

import asyncio

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

import tests.support.workers.project  # noqa: F401  Django's settings
from asgi_redis import InMemoryChannelLayer
from asgi_redis.interface import Interface, application
from tests.support.interface.serving import UvicornThread
from tests.support.interface.stand_in import StandIn

pytestmark = pytest.mark.native("event loops in native threads")

urlpatterns = [path("page", lambda request: HttpResponse(f"Django: {request.method}"))]
LAYERS = {
    "default": {"BACKEND": "asgi_redis.InMemoryChannelLayer"},
    "other": {"BACKEND": "asgi_redis.InMemoryChannelLayer"},
}


@pytest.fixture
def django_application():
    from django.core.asgi import get_asgi_application

    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"]):
        yield get_asgi_application()


def check(application, layer):
    """Whether Django answers requests, and the workers of ``layer`` the websockets."""
    with StandIn(layer) as worker, UvicornThread(application, lifespan="auto") as site:
        assert site.http().request("GET", "/page").body == b"Django: GET"
        client = site.websocket("/chat")
        client.send("hello")
        assert client.receive() == "hello"
        assert worker.of("http.request") == []
        site.shut_down()
        assert client.close_code() == 1012
        assert worker.sees("websocket.disconnect")[0]["code"] == 1012


def test_under_protocol_type_router_of_channels_4(django_application, memory_layer):
    routing = pytest.importorskip("channels.routing")
    check(
        routing.ProtocolTypeRouter({"http": django_application, "websocket": Interface(memory_layer)}), memory_layer
    )


def test_behind_a_django_application_that_keeps_the_http(django_application, memory_layer):
    interface = Interface(memory_layer)

    async def both(scope, receive, send):
        await (django_application if scope["type"] == "http" else interface)(scope, receive, send)

    check(both, memory_layer)


def test_beside_a_consumer_of_channels_4(memory_layer):
    routing = pytest.importorskip("channels.routing")
    from channels.generic.websocket import AsyncWebsocketConsumer

    class Modern(AsyncWebsocketConsumer):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data=f"modern {text_data}")

    from django.urls import re_path

    websockets = routing.URLRouter([re_path(r"^modern$", Modern.as_asgi()), re_path(r"", Interface(memory_layer))])
    with StandIn(memory_layer), UvicornThread(routing.ProtocolTypeRouter({"websocket": websockets})) as site:
        modern, classic = site.websocket("/modern"), site.websocket("/classic")
        modern.send("a")
        classic.send("b")
        assert (modern.receive(), classic.receive()) == ("modern a", "b")


def test_an_alias_and_the_options_of_the_settings():
    from asgi_redis import get_channel_layer

    with override_settings(CHANNEL_LAYERS=LAYERS, CHANNEL_INTERFACE={"max_frame_bytes": 10}):
        layer = get_channel_layer("other")
        with StandIn(layer), UvicornThread(Interface("other")) as site:
            client = site.websocket()
            client.send("12345")
            assert client.receive() == "12345"
            client.send("12345678901")
            assert client.close_code() == 1009
        with StandIn(layer), UvicornThread(Interface("other", max_frame_bytes=20)) as site:
            client = site.websocket()
            client.send("12345678901")
            assert client.receive() == "12345678901"


def test_an_unknown_alias_is_an_error_that_names_those_there_are():
    with override_settings(CHANNEL_LAYERS=LAYERS), pytest.raises(ValueError, match="nowhere"):
        Interface("nowhere").services()


def test_application_is_an_interface_over_the_default_layer():
    assert isinstance(application, Interface)


def test_an_unknown_scope_is_an_error():
    with InMemoryChannelLayer() as layer, pytest.raises(ValueError, match="mqtt"):
        asyncio.run(Interface(layer)({"type": "mqtt"}, None, None))
