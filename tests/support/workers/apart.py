"""Settings, and consumers that leave behind what they can, for worker processes whose messages are to begin clean."""

from __future__ import annotations

import asyncio
import contextvars
import os
from typing import Any

from django.core.cache import caches
from django.db import connection
from django.utils import timezone, translation

from tests.support.workers.consumers import note
from workers import route

SECRET_KEY = "x"
DEBUG = True
USE_TZ = True
LANGUAGES = [("en", "English"), ("de", "German")]
TIME_ZONE = "UTC"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["TEST_REDIS_URL"]], "prefix": os.environ["TEST_PREFIX"]},
        "ROUTING": "tests.support.workers.apart.routing",
    }
}

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


def touch() -> None:
    """Notes what it finds, and changes all of it."""
    found = translation.get_language(), timezone.get_current_timezone_name(), user.get()
    note("found", " ".join(found))
    translation.activate("de")
    timezone.activate(timezone.get_fixed_timezone(60))
    user.set("anna")


def plain(message: Any) -> None:
    """Uses the database, which Django refuses to whom it takes for asynchronous."""
    touch()
    note("queries", len(connection.queries))
    note("cache", id(caches["default"]))
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def asynchronous(message: Any) -> None:
    touch()
    await asyncio.sleep(0.05)


def looping(message: Any) -> None:
    """Runs an event loop of its own."""
    asyncio.run(asynchronous(message))


routing = [route("plain", plain), route("asynchronous", asynchronous), route("looping", looping)]
