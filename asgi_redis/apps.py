"""The app ``asgi_redis`` in Django's ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register

from asgi_redis.integrations.checks import check_channel_layers, check_workers


class AsgiRedisConfig(AppConfig):
    """Checks the settings in ``manage.py check``."""

    name = "asgi_redis"

    def ready(self) -> None:
        """Register the checks."""
        register(check_channel_layers, Tags.compatibility)
        register(check_workers, Tags.compatibility)
