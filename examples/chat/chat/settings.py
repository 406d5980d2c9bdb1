"""The settings of a project for a demonstration: no database, no users."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "only for a demonstration")
DEBUG = os.environ.get("DEBUG", "1") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "daphne",  # makes runserver serve websockets
    "workers",  # before channels, which has a runworker, too
    "channels",
    "chat",
]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
ROOT_URLCONF = "chat.urls"
ASGI_APPLICATION = "chat.asgi.application"
USE_TZ = True

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ.get("CHANNEL_BACKEND", "asgi_redis.aio.RedisChannelLayer"),
        "CONFIG": {"hosts": [os.environ.get("REDIS_URL", "redis://localhost:6379/0")]},
    }
}
if CHANNEL_LAYERS["default"]["BACKEND"].startswith("asgi_redis."):  # channels_redis.core has no such settings
    CHANNEL_LAYERS["default"]["CONFIG"].update(on_disconnect="redis.away", on_reconnect="redis.back")
