"""
Django's autoreloader, with an order for the end of each process.

Django's ``run_with_reloader`` lets the process that serves end in the middle of everything when a file changes, kills
it a quarter of a second after Ctrl-C, and at once on SIGTERM. Here the parent process passes signals on and waits for
its child, and the reloader runs in a thread of the child, so that the main thread is free to stop in order.

The parent also holds the listening socket: a client that connects while the child is being replaced waits for the
next child, where it would otherwise be refused.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
from types import FrameType
from typing import Callable

from django.utils import autoreload

from workers.runtime.stopping import SIGNALS

logger = logging.getLogger("django.utils.autoreload")

RELOAD_CODE = 3  # the exit code of a child that is to be started again
LISTENER_VARIABLE = "ASGI_REDIS_LISTENER"  # the file descriptor of the socket that the parent holds


def is_child() -> bool:
    """Return whether this is the process that serves, under an autoreloader."""
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"


def inherited_listener() -> socket.socket | None:
    """
    Return the socket that the parent process holds, or None.

    The parent is Django's own, without a socket, when the project could not be loaded at first.
    """
    descriptor = os.environ.pop(LISTENER_VARIABLE, None)
    if descriptor is None:
        return None
    listener = socket.socket(fileno=int(descriptor))
    os.set_inheritable(listener.fileno(), False)
    return listener


class ReloadingParent:
    """
    Runs the same command in a child process, again when a file has changed.

    Args:
        listener: The socket for the children to listen on.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._child: subprocess.Popen[bytes] | None = None
        self._signal: int | None = None

    def run(self) -> int:
        """
        Run children until one ends for good, and return its exit code.

        SIGINT and SIGTERM are passed on to the child, which stops in order: then the code is 0. To be called in the
        main thread.
        """
        previous = {number: signal.signal(number, self._pass_on) for number in SIGNALS}
        try:
            code = RELOAD_CODE
            while code == RELOAD_CODE and self._signal is None:
                code = self._run_child()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self._signal is not None and (code < 0 or code == RELOAD_CODE):
            return 0  # the signal came while the child was starting, or was to be replaced
        return code

    def _run_child(self) -> int:
        descriptor = self._listener.fileno()
        environment = {
            **os.environ,
            autoreload.DJANGO_AUTORELOAD_ENV: "true",
            LISTENER_VARIABLE: str(descriptor),
        }
        self._child = subprocess.Popen(
            autoreload.get_child_arguments(), env=environment, pass_fds=[descriptor], close_fds=True
        )
        if self._signal is not None:  # it came while the child was being started
            self._child.send_signal(self._signal)
        return self._child.wait()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        if self._child is not None:
            self._child.send_signal(number)


def watch_files(main: Callable[[], None], end: Callable[[int], None]) -> None:
    """
    Run ``main`` in a thread, and Django's reloader in another one, and return.

    When ``main`` raises, the reloader goes on: the change of a file may be the remedy. To be called in the main
    thread.

    Args:
        main: Loads the project and serves it.
        end: Called in the reloader's thread with the exit code of the process, when a file has changed, or the
            reloader has failed.
    """
    autoreload.ensure_echo_on()  # here: it handles a signal, which no other thread may

    def watch() -> None:
        code = 1
        try:
            reloader = autoreload.get_reloader()
            logger.info("Watching for file changes with %s", type(reloader).__name__)
            autoreload.start_django(reloader, main)
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        finally:
            end(code)

    threading.Thread(target=watch, name="django-reloader", daemon=True).start()
