"""A Django project in one file: settings, routing, URLs, and daphne's layer."""

from __future__ import annotations

import os

from django.http import HttpResponse
from django.urls import path

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [*(["workers"] if os.environ["BENCH_OUR_WORKER"] else []), "channels"]
ROOT_URLCONF = __name__
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["BENCH_REDIS"]]},
        "ROUTING": f"{__name__}.channel_routing",
    }
}


def _hello(request):
    return HttpResponse("hello")


def _echo(message):
    message.reply_channel.send({"text": message["text"]})


channel_routing = {"websocket.receive": _echo}
urlpatterns = [path("", _hello)]


def __getattr__(name):
    # Late: the layer needs the settings, which are this module.
    if name != "channel_layer":
        raise AttributeError(name)
    from channels.asgi import get_channel_layer

    return get_channel_layer()
