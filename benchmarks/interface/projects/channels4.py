"""Consumers of Channels 4: settings, application and a sender."""

from __future__ import annotations

import json
import os

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
LOGGING_CONFIG = None
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": json.loads(os.environ.get("BENCH_LAYER", "{}")),
    }
}
