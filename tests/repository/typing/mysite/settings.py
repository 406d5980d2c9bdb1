from __future__ import annotations

from typing import Any

INSTALLED_APPS = ["workers"]

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {"hosts": ["redis://localhost:6379/0"]},
        "ROUTING": "mysite.routing.channel_routing",
    },
}
