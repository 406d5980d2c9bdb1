"""Django settings of the project that is deployed; the stack sets what it wants through the environment."""

from __future__ import annotations

import os

SECRET_KEY = "x"
INSTALLED_APPS = ["workers"]
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["DEPLOYS_SESSIONS_URL"],
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {
            "hosts": [os.environ["DEPLOYS_URL"]],
            "expiry": float(os.environ["DEPLOYS_EXPIRY"]),
            "group_expiry": float(os.environ["DEPLOYS_GROUP_EXPIRY"]),
        },
        "ROUTING": "deployed.routing.routing",
    }
}
CHANNEL_INTERFACE = {"full_channel_timeout": 60}  # however slow the machine is
TIME_ZONE = "UTC"
USE_TZ = True
