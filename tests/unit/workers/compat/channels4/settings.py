"""The project's settings. The environment says where its layers are."""

import os

from asgi_redis import IPCChannelLayer

CONFIG = {"hosts": [os.environ["TEST_LAYER_URL"]], "prefix": os.environ["TEST_PREFIX"], "capacity": 1000}
BACKEND = os.environ.get("TEST_BACKEND", "channels_redis.core.RedisChannelLayer")

SECRET_KEY = "x"
INSTALLED_APPS = ["workers", "channels"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "gallery.db", "CONN_MAX_AGE": 60}}
ASGI_APPLICATION = "tests.unit.workers.compat.channels4.asgi.application"
CHANNEL_LAYERS = {
    "default": {"BACKEND": BACKEND, "CONFIG": CONFIG},
    "second": {"BACKEND": BACKEND, "CONFIG": {**CONFIG, "prefix": f"{CONFIG['prefix']}second"}},
}
if "TEST_IPC" in os.environ:
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "asgi_redis.aio.AsyncChannelLayer",
        "CONFIG": {"layer": IPCChannelLayer(path=os.environ["TEST_IPC"])},
    }
