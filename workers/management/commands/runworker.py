"""``manage.py runworker``: the worker of the project's channel layer."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.command import patching, supervisor
from workers.command.arguments import add_worker_arguments
from workers.compat.django import launch_in_project
from workers.exceptions import ConfigurationError


class Command(BaseCommand):
    """The flags are those of ``python -m workers``, as far as they make sense here; the exit codes, too."""

    help = "Runs the consumers of a channel routing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds the flags of the worker to Django's own."""
        add_worker_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the worker; leaves with its exit code when that is not 0."""
        supervises = supervisor.is_wanted(options)
        if options["pool"] == "gevent" and not supervises and patching.unpatched():
            if find_spec("gevent") is None:
                raise CommandError(patching.MISSING)
            patching.restart_patched()
        try:
            code = supervisor.supervise(options) if supervises else launch_in_project(options)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        if code:
            sys.exit(code)
