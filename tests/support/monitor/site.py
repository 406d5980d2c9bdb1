"""
A project with the admin and the monitor's page, for servers; ``python -m`` makes its database, with the user ``ada``.

Its database, her password, and the Redis and the prefix of its layers are in the environment as ``SITE_...``. With
``SITE_LOOKS`` the page has been looked at before the server forks.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponseBase
from django.urls import include, path

ADMIN = ["admin", "auth", "contenttypes", "messages", "sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]

settings.configure(
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="tests.support.monitor.site",
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in ADMIN), "workers"],
    MIDDLEWARE=["tests.support.monitor.site.name_process", *MIDDLEWARE],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": PROCESSORS},
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "asgi_redis.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["SITE_REDIS"]], "prefix": os.environ["SITE_PREFIX"]},
        },
        "other": {
            "BACKEND": "asgi_redis.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["SITE_REDIS"]], "prefix": f"{os.environ['SITE_PREFIX']}-other"},
        },
    },
    USE_TZ=True,
    STATIC_URL="/static/",
)
django.setup()


def name_process(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """A middleware: says which process has answered."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response["X-Process"] = str(os.getpid())
        return response

    return answer


def make_database() -> None:
    from django.contrib.auth.models import User

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("ada", password=os.environ["SITE_PASSWORD"])


def look() -> None:
    from django.contrib.auth.models import User
    from django.db import connections
    from django.test import Client

    client = Client()
    client.force_login(User.objects.get())
    assert client.get("/channels/facts").json()["snapshot"]["servers"]
    connections.close_all()


if __name__ == "__main__":
    make_database()
else:
    from django.contrib import admin
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    urlpatterns = [path("admin/", admin.site.urls), path("channels/", include("workers.monitor.urls"))]
    application = get_wsgi_application()
    asgi_application = get_asgi_application()
    if "SITE_LOOKS" in os.environ:
        look()
