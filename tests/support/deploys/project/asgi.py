"""What the web server serves: the interface, and nothing of the project's code."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deployed.settings")

from asgi_redis.interface import application

__all__ = ["application"]
