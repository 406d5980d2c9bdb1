"""The configuration of this package as a Django application."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register

from asgi_redis.integrations.checks import check_channel_layers
from workers.binding.base import BindingMetaclass
from workers.compat.checks import check_command, check_hidden_package, check_routings, check_runserver


class WorkersConfig(AppConfig):
    """Provides two commands, system checks, and the bindings of models."""

    name = "workers"

    def ready(self) -> None:
        """Register the checks, and connect the bindings."""
        register(check_channel_layers, Tags.compatibility)
        register(check_command, Tags.compatibility)
        register(check_hidden_package, Tags.compatibility)
        register(check_routings, Tags.compatibility)
        register(check_runserver, Tags.compatibility)
        BindingMetaclass.register_all()
