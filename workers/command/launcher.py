"""Makes the channel layer and the worker that the options describe, and runs it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import time
from queue import Empty, SimpleQueue
from typing import Callable, TypeVar

from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.engine.outage import Outage
from asgi_redis.layers.base import BaseChannelLayer
from workers.asgi import adapted
from workers.command import patching
from workers.command.arguments import MAX_THREADS, WorkerOptions
from workers.command.processes import SupervisorLink, take_sockets
from workers.exceptions import ConfigurationError
from workers.importing import hidden_package
from workers.operations.heartbeat import Heartbeat
from workers.operations.liveness import WorkerState
from workers.operations.metrics import MetricsServer
from workers.operations.overrun import OverrunWatch
from workers.operations.recycling import MemoryLimit, MessageLimit
from workers.operations.registration import Registration
from workers.operations.reloading import Reloader, is_rehearsal
from workers.operations.stuck import StuckWatch
from workers.operations.systemd import notifier_from
from workers.routing import Router
from workers.runtime.dispatcher import OWN, ConsumerAPI
from workers.runtime.hooks import LifecycleHook
from workers.runtime.pool import Pool
from workers.runtime.stopping import ExitCode, Shutdown
from workers.worker import Worker

logger = logging.getLogger(__name__)

LOG_FORMAT = "%(asctime)s %(levelname)s %(process)d %(threadName)s %(name)s: %(message)s"
DEFAULT_THREADS = 1
DEFAULT_GREENLETS = 100
LOGGERS = ("workers", "asgi_redis")
IN_ORDER = (ExitCode.CLEAN, ExitCode.CONFIGURATION, ExitCode.FAILED, ExitCode.UNREACHABLE)
LOG_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)

T = TypeVar("T")


def when_served(make: Callable[[], T], options: WorkerOptions) -> T:
    """
    Return ``make()``, a channel layer; call it again while no server answers.

    A layer on Sentinels asks them for the services. Ends the process on SIGTERM or SIGINT, and with
    ``ExitCode.UNREACHABLE`` when a burst has waited for its ``burst_timeout``. The log has a line when the waiting
    begins, and one when it ends; the heartbeat file is touched meanwhile. To be called in the main thread.
    """
    heartbeat = None if _is_auxiliary() else _heartbeat(options)
    outage = Outage("Redis")
    signals: SimpleQueue[None] = SimpleQueue()
    deadline = time.monotonic() + options.burst_timeout if options.burst else math.inf
    with Shutdown(lambda: signals.put(None)) as shutdown:
        while True:
            pause = 0.0
            try:
                made = make()
            except (ConnectionError, TimeoutError) as error:
                show_log(options.verbosity)
                pause = outage.failed(error)
                if heartbeat is not None:
                    heartbeat.report(WorkerState(pulls=True))
                if time.monotonic() >= deadline:
                    logger.error("The burst ends: Redis has not answered for %g s", options.burst_timeout)
                    raise SystemExit(ExitCode.UNREACHABLE) from None
            with contextlib.suppress(Empty):
                # Also when the layer was made: a signal may have come meanwhile.
                signals.get(timeout=pause) if pause else signals.get_nowait()
                logger.info("Signal %d: stopped before it listened", shutdown.signal)
                raise SystemExit(ExitCode.CLEAN)
            if not pause:
                outage.succeeded()
                return made


def launch(
    channel_layer: BaseChannelLayer, router: Router, options: WorkerOptions, consumer_api: ConsumerAPI = OWN
) -> int:
    """
    Run a worker until it stops; return the exit code.

    The code is a ``stopping.ExitCode``, or 128 and a signal's number. Raises ``ConfigurationError`` when the options
    leave nothing to do, or when messages of the layer stay in one process. To be called in the main thread, at the
    end of which the process is to end. When consumers were left behind it does not return but ends the process. If
    something holds up the interpreter's way out, the process is ended at the shutdown timeout.
    """
    layer = adapted(channel_layer)
    if not layer.crosses_processes:
        raise ConfigurationError(
            f"{type(channel_layer).__name__} passes messages within one process only, and a worker is another one "
            f"than the sender: use IPCChannelLayer on one machine, RedisChannelLayer on several, or run a "
            f"workers.Worker in a thread of the process that sends"
        )
    show_log(options.verbosity)
    try:
        for name in router.channels:
            layer.valid_channel_name(name, receive=True)
    except TypeError as error:
        raise ConfigurationError(f"in the routing, {error}") from error
    hidden = hidden_package()
    if hidden:
        logger.warning("%s", hidden)
    worker = Worker(
        channel_layer,
        router,
        pool=_pool(options),
        limits=options.limit or (),
        burst=options.burst,
        burst_timeout=options.burst_timeout,
        hooks=_hooks(options),
        only_channels=options.only_channels,
        exclude_channels=options.exclude_channels,
        shutdown_timeout=options.shutdown_timeout,
        graceful=not options.disable_graceful_stop,
        consumer_api=consumer_api,
    )
    worker.shutdown.ends_process = True
    code = worker.run()
    in_order = not worker.busy and code in IN_ORDER
    worker.shutdown.leave(code, at_once=not in_order)
    layer.close()
    return code


def _pool(options: WorkerOptions) -> Pool:
    size = options.threads or options.concurrency
    stuck_timeout = math.inf if options.stuck_timeout is None else options.stuck_timeout
    if options.pool == "thread":
        if size is not None and size > MAX_THREADS:
            raise ConfigurationError(f"{size:,} threads are too many: {MAX_THREADS:,} are the limit")
        return Pool(size or DEFAULT_THREADS, stuck_timeout)
    unpatched = patching.unpatched()
    if unpatched:
        raise ConfigurationError(
            f"the gevent pool needs gevent's patches, made before anything else is imported, and "
            f"{', '.join(unpatched)} are not patched"
        )
    left_behind = patching.left_behind()
    if left_behind:
        raise ConfigurationError(
            f"gevent's patches came too late: {', '.join(left_behind[:5])} were imported before them. Leave the "
            f"patching to runworker, or do it first of all"
        )
    return Pool(size or DEFAULT_GREENLETS, stuck_timeout)


def _hooks(options: WorkerOptions) -> list[LifecycleHook]:
    """Return the hooks that the options ask for; end a rehearsal of a reload here."""
    if is_rehearsal():
        sys.exit(0)
    sockets = take_sockets()
    hooks: list[LifecycleHook] = [Registration(options.pool)]
    if options.stuck_timeout is not None:
        hooks.append(StuckWatch())
    if sockets is not None:
        hooks.append(SupervisorLink(sockets, options.metrics_port is not None))
    else:
        hooks += _status_hooks(options)
    if options.soft_time_limit is not None:
        hooks.append(OverrunWatch(options.soft_time_limit))
    if options.max_messages is not None:
        hooks.append(MessageLimit(options.max_messages))
    if options.max_memory is not None:
        hooks.append(MemoryLimit(options.max_memory))
    if options.reload:
        # The last one: its ``stop`` replaces the process.
        hooks.append(Reloader({} if sockets is None else {patching.PROCESS_VARIABLE: str(sockets)}))
    return hooks


def _is_auxiliary() -> bool:
    """Return whether another process touches the heartbeat file: it started this."""
    return is_rehearsal() or patching.PROCESS_VARIABLE in os.environ


def _heartbeat(options: WorkerOptions) -> Heartbeat | None:
    return None if options.heartbeat_file is None else Heartbeat(options.heartbeat_file)


def _status_hooks(options: WorkerOptions) -> list[LifecycleHook]:
    """Return the hooks whose work a supervisor does for all its processes."""
    hooks: list[LifecycleHook] = []
    systemd = notifier_from(os.environ)
    if systemd is not None:
        hooks.append(systemd)
    heartbeat = _heartbeat(options)
    if heartbeat is not None:
        hooks.append(heartbeat)
    if options.metrics_port is not None:
        hooks.append(MetricsServer(options.metrics_port))
    return hooks


def show_log(verbosity: int, layout: str = LOG_FORMAT, time_format: str | None = None) -> None:
    """
    Write the log of both packages to stderr, unless the project has set up logging.

    The project's own logging holds for them in any case. ``disable_existing_loggers`` disables the loggers of modules
    that were imported by then, which depends on the command; they are enabled again.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(layout, time_format))
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOGGERS:
            logging.getLogger(name).disabled = False
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not logger.hasHandlers():
            logger.addHandler(handler)
            if logger.level == logging.NOTSET:
                logger.setLevel(LOG_LEVELS[max(0, min(verbosity, 2))])
