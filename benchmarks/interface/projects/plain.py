"""Django alone: settings, and its applications for ASGI and WSGI."""

from __future__ import annotations

from typing import Any

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS: list[str] = []
ROOT_URLCONF = "benchmarks.interface.projects.views"
LOGGING_CONFIG = None


def __getattr__(name: str) -> Any:
    # Late: they need the settings, which are this module.
    if name == "asgi":
        from django.core.asgi import get_asgi_application

        return get_asgi_application()
    if name == "wsgi":
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()
    raise AttributeError(name)
