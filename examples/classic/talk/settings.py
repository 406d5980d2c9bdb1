"""The settings: a database in a file, users, sessions, and a channel layer."""

import os
from pathlib import Path

import django

FOLDER = Path(__file__).parents[1]

DEBUG = os.environ.get("DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "only for a demonstration" if DEBUG else "")  # Django refuses an empty one
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]").split()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "workers",
    "talk",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]
ROOT_URLCONF = "talk.urls"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", FOLDER / "db.sqlite3"),
        # Many processes write: each waits for the others, and readers wait for none. (Django 4.2 has but the first.)
        "OPTIONS": {
            "timeout": 20,
            **(
                {
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal",
                }
                if django.VERSION >= (5, 1)
                else {}
            ),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis where there is one; else the processes of this machine share files, which takes no server.
PREFIX = os.environ.get("CHANNEL_PREFIX", "talk")
LAYER = (
    {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": {"hosts": [os.environ["REDIS_URL"]], "prefix": PREFIX}}
    if "REDIS_URL" in os.environ
    else {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"prefix": PREFIX}}
)
CHANNEL_LAYERS = {"default": {**LAYER, "ROUTING": "talk.routing.channel_routing"}}

# A page says so often that it is still there; after three times as long without a word it counts as gone.
HEARTBEAT_SECONDS = float(os.environ.get("HEARTBEAT_SECONDS", "30"))
