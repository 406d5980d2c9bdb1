"""``manage.py runserver``: the parts of a deployment in one process."""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper, SystemCheckError
from django.db import connections
from django.utils import autoreload as django_autoreload

from workers.command import autoreload
from workers.command.launcher import show_log
from workers.command.request_log import TIME_FORMAT
from workers.compat.checks import has_routing
from workers.compat.django import has_channels1
from workers.exceptions import ConfigurationError

if TYPE_CHECKING or not apps.is_installed("django.contrib.staticfiles"):
    from django.core.management.commands.runserver import Command as RunserverCommand
else:
    from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand

if TYPE_CHECKING:
    from workers.command.development import DevelopmentServer, End

MISSING = (
    'uvicorn is not installed, which serves websockets: pip install "asgi_redis[server]", or use --noasgi, for '
    "Django's own server"
)
LOG_FORMAT = "[%(asctime)s] %(message)s"

BIND_ERRORS = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: "That port is already in use.",
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}


class DevelopmentCommand(RunserverCommand):
    """Serves a project for its development, websockets included."""

    help = "Starts a web server for development, which serves websockets, too."

    # Set by Django's ``handle``.
    addr: str
    port: str
    use_ipv6: bool

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the flags of Channels 1 to Django's own."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noworker",
            action="store_false",
            dest="run_worker",
            help="Tells Django to NOT run worker threads; then run them by manage.py runworker.",
        )
        parser.add_argument(
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Tells Django to use its own WSGI server, which serves no websockets.",
        )
        parser.add_argument(
            "--http_timeout",
            type=float,
            metavar="SECONDS",
            help="How long a request may take until it is answered with an error (default: that of the settings).",
        )
        parser.add_argument(
            "--websocket_handshake_timeout",
            type=float,
            metavar="SECONDS",
            help="How long a websocket waits for a consumer to accept it (default: that of the settings).",
        )

    def run(self, **options: Any) -> None:
        """Serve, under the autoreloader in a child process; leave with its exit code."""
        if not options["use_asgi"] or not self._has_uvicorn():
            super().run(**options)
            return
        if options["use_reloader"] and not autoreload.is_child():
            code = autoreload.ReloadingParent(self._bind()).run()
        else:
            code = self._serve(options)
        if code:
            sys.exit(code)

    def _has_uvicorn(self) -> bool:
        """Return whether it is installed; raise ``CommandError`` where consumers need it."""
        if find_spec("uvicorn") is not None:
            return True
        if has_routing():
            raise CommandError(MISSING)
        if not autoreload.is_child():
            self.stderr.write(self.style.WARNING(MISSING))
        return False

    def _bind(self) -> socket.socket:
        """Return a socket with the address, or end the process, as Django does."""
        listener = socket.socket(socket.AF_INET6 if self.use_ipv6 else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.addr, int(self.port)))
        except (OSError, OverflowError) as error:
            listener.close()
            reason = BIND_ERRORS.get(error.errno) if isinstance(error, OSError) and error.errno else None
            self.stderr.write(f"Error: {reason or error}")
            sys.exit(1)
        return listener

    def _serve(self, options: dict[str, Any]) -> int:
        from workers.command.development import DevelopmentProcess  # here, because it needs uvicorn

        listener = autoreload.inherited_listener() or self._bind()
        process = DevelopmentProcess()

        def load_and_start(end: End) -> None:
            try:
                server = self._load(options)
            except CommandError as error:
                if options["traceback"] or not options["use_reloader"]:
                    raise
                self._show(error)  # the reloader waits for the remedy
                return
            listener.listen()  # now: the banner says that clients may connect
            self.on_bind(listener.getsockname()[1])
            self.stdout.write(f"Channel layer {server.channel_layer}")
            self.stdout.flush()  # for a process manager, to which it writes through a pipe
            process.server = server
            server.start(listener, end)

        if options["use_reloader"]:
            code = process.run(
                lambda end: autoreload.watch_files(lambda: load_and_start(end), end), parent=os.getppid()
            )
        else:
            code = process.run(load_and_start)
        if process.interrupted and options.get("shutdown_message"):
            self.stdout.write(options["shutdown_message"])
        return code

    def on_bind(self, server_port: int) -> None:
        """Show Django's banner, without the WSGI of Django 6.1."""
        out, self.stdout = self.stdout, OutputWrapper(io.StringIO())
        try:
            super().on_bind(server_port)
        finally:
            banner, self.stdout = self.stdout.getvalue(), out
        out.write(banner.replace("Starting WSGI development", "Starting development"), ending="")

    def _load(self, options: dict[str, Any]) -> DevelopmentServer:
        """Check the project, and make the server for it."""
        django_autoreload.raise_last_exception()  # the error that a setup of the project has ended with
        from workers.command.development_project import server_for_project, use_memory_by_default

        use_memory_by_default()
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()
        show_log(options["verbosity"] - 1, LOG_FORMAT, TIME_FORMAT)
        try:
            return server_for_project(options)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error

    def _show(self, error: CommandError) -> None:
        is_whole = isinstance(error, SystemCheckError)  # with a headline in colour
        self.stderr.write(str(error) if is_whole else f"CommandError: {error}", str if is_whole else None)


def _command() -> type[BaseCommand]:
    if has_channels1():
        from workers.compat import channels1  # here, because it needs Channels 1

        return channels1.runserver_command()
    return DevelopmentCommand


Command = _command()
