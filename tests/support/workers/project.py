"""
Django settings for the tests that use Django in their own process.

To be imported while tests are collected: settings can be configured only once in a process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

DATABASE = Path(tempfile.gettempdir()) / f"asgi-redis-tests-{os.getpid()}.sqlite3"

settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATABASE), "CONN_MAX_AGE": 600},
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    USE_TZ=True,
)
django.setup()


@pytest.fixture(scope="module")
def database() -> Iterator[None]:
    """The tables of the apps, in a file, so that every thread sees them."""
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()
    DATABASE.unlink()
