"""Reports of this process to the registry of a layer, in a thread."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from asgi_redis.engine.facts import Registry, Report
from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.process import identity
from asgi_redis.process.version import __version__

logger = logging.getLogger("asgi_redis")

REPORT_SECONDS = 2.0
"""The time between two reports."""
_STOP_SECONDS = 0.5  # a worker that stops late has a second left; without the last request its entry expires


class Reporter:
    """
    Reports this process every two seconds, from ``start`` to ``stop``.

    A report that fails is left out. The log has a line when that begins: the process works on, and monitors do not
    see it meanwhile.

    Args:
        registry: The registry of the layer.
        role: The role of the process, "worker" or "interface".
        describe: Returns the further fields of a report.
        obey: Is called in the reporter's thread with a request that was left for this process.
    """

    def __init__(
        self,
        registry: Registry,
        role: str,
        describe: Callable[[], Report],
        obey: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._describe = describe
        self._obey = obey
        identity.set_role(role)
        host = identity.host_name()
        self.process = f"{host}.{os.getpid()}.{secrets.token_hex(4)}"
        """The name of this process in the registry."""
        self._facts = {"role": role, "host": host, "pid": os.getpid(), "started": time.time(), "version": __version__}
        self._wakeup = threading.Event()
        self._stops = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def report_now(self) -> None:
        """Report ahead of time, as something has changed."""
        self._wakeup.set()

    def end(self) -> None:
        """Begin to end, without waiting."""
        self._stops = True
        self._wakeup.set()

    def stop(self) -> None:
        """Delete the entry, and end the thread, unless a server that hangs holds it up."""
        self.end()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stops:
            self._attempt(self._report)
            self._wakeup.wait(REPORT_SECONDS)
            self._wakeup.clear()
        self._attempt(self._withdraw)

    def _report(self) -> None:
        request = self._registry.report(self.process, {**self._facts, **self._describe()})
        self._failed = False
        if request is not None:
            logger.info("A monitor asks of this process: %r", request)
            self._obey(request)

    def _withdraw(self) -> None:
        self._registry.withdraw(self.process)

    def _attempt(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (RedisError, ChannelLayerError, OSError) as error:
            # An outage has lines of its readers; at other times this is all that tells.
            level = logging.DEBUG if self._failed else logging.INFO
            logger.log(level, "Monitors cannot see this process: %s: %s", type(error).__name__, error)
            self._failed = True
        except Exception:
            if not self._failed:
                logger.exception("Monitors cannot see this process")
            self._failed = True
