"""The configuration of this package as a Django application."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.core.management import get_commands

from asgi_redis.integrations.checks import check_channel_layers
from workers.binding.base import BindingMetaclass
from workers.compat.checks import (
    check_command,
    check_hidden_package,
    check_interface,
    check_routings,
    check_runserver,
    has_routing,
)
from workers.compat.django import has_channels1


class WorkersConfig(AppConfig):
    """Provides two commands, system checks, and the bindings of models."""

    name = "workers"

    def ready(self) -> None:
        """Register the checks, connect the bindings, and take over ``runserver``."""
        register(check_channel_layers, Tags.compatibility)
        register(check_command, Tags.compatibility)
        register(check_hidden_package, Tags.compatibility)
        register(check_interface, Tags.compatibility)
        register(check_routings, Tags.compatibility)
        register(check_runserver, Tags.compatibility)
        BindingMetaclass.register_all()
        _take_over_runserver()


def _take_over_runserver() -> None:
    """
    Take ``runserver`` over from the application of the static files.

    Projects for Channels 1, which did the same, have ``django.contrib.staticfiles`` first. Its options are kept.
    """
    commands = get_commands()  # Django keeps this dict
    if has_routing() and not has_channels1() and commands["runserver"] == "django.contrib.staticfiles":
        commands["runserver"] = WorkersConfig.name
