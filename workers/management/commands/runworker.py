"""``manage.py runworker``: the worker of the project's channel layer."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.command import patching, supervisor
from workers.command.arguments import WorkerOptions
from workers.command.project import launch_in_project
from workers.exceptions import ConfigurationError


class Command(BaseCommand):
    """Runs a worker on a layer of the settings, with the exit codes of ``runworker``."""

    help = "Runs the consumers of a channel routing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the flags of the worker to Django's own."""
        WorkerOptions.add_to(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the worker; leave with its exit code when that is not 0."""
        parsed = WorkerOptions.from_parsed(options)
        run = supervisor.supervise if supervisor.is_wanted(parsed) else launch_in_project
        if parsed.pool == "gevent" and run is launch_in_project and patching.unpatched():
            if find_spec("gevent") is None:
                raise CommandError(patching.MISSING)
            patching.restart_patched()
        try:
            code = run(parsed)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        if code:
            sys.exit(code)
