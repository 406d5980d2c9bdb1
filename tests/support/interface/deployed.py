"""What the server processes of the tests serve: the interface, with Django settings from the environment."""

from __future__ import annotations

import json
import os

from django.conf import settings

settings.configure(SECRET_KEY="x", **json.loads(os.environ["TEST_SETTINGS"]))

from asgi_redis.interface import application  # noqa: E402  it reads the settings

__all__ = ["application"]
