"""A classic project. What differs from test to test comes in the environment."""

from __future__ import annotations

import json
import os

SECRET_KEY = "x"
DEBUG = "TEST_DEBUG" in os.environ
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    # Whose ``runworker`` it is: that of the app that comes first.
    *(["workers"] if "TEST_OUR_WORKER" in os.environ else []),
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "channels.delay",
    "tests.channels1.project",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.channels1.project.views"
STATIC_URL = "/static/"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["TEST_DATABASE"],
        "OPTIONS": {"timeout": 20},
    }
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ.get("TEST_BACKEND", "asgi_redis.RedisChannelLayer"),
        "CONFIG": json.loads(os.environ["TEST_LAYER"]),
        "ROUTING": "tests.channels1.project.routing.channel_routing",
    }
}
