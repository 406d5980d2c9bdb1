"""Builds a worker from a layer, a routing and the shared flags, and runs it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer
from workers.asgi import adapted
from workers.command import patching
from workers.command.arguments import MAX_THREADS
from workers.exceptions import ConfigurationError
from workers.importing import hidden_package
from workers.operations import hooks_from
from workers.routing import Router
from workers.runtime.dispatcher import OWN, ConsumerAPI
from workers.runtime.pool import Pool
from workers.runtime.stopping import ExitCode
from workers.worker import Worker

logger = logging.getLogger(__name__)

LOG_FORMAT = "%(asctime)s %(levelname)s %(process)d %(threadName)s %(name)s: %(message)s"
DEFAULT_THREADS = 1
DEFAULT_GREENLETS = 100
LOGGERS = ("workers", "asgi_redis")
LOG_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def launch(
    channel_layer: BaseChannelLayer, router: Router, options: Mapping[str, Any], consumer_api: ConsumerAPI = OWN
) -> int:
    """
    Runs a worker until it stops; returns the exit code (``stopping.ExitCode``, or 128 and a signal's number).

    ``options`` are the parsed flags of ``arguments.add_worker_arguments``, and ``verbosity``. Raises
    ``ConfigurationError`` when they leave nothing to do, or when messages of the layer stay in one process. To be
    called in the main thread, at the end of which the process is to end. When consumers were left behind it does
    not return but ends the process. Where the process is held up after that, it is ended at the shutdown timeout.
    """
    layer = adapted(channel_layer)
    if not layer.crosses_processes:
        raise ConfigurationError(
            f"{type(channel_layer).__name__} passes messages within one process only, and a worker is another one "
            f"than the sender: use IPCChannelLayer on one machine, RedisChannelLayer on several, or run a "
            f"workers.Worker in a thread of the process that sends"
        )
    show_log(options["verbosity"])
    _check_names(layer, router)
    hidden = hidden_package()
    if hidden:
        logger.warning("%s", hidden)
    worker = Worker(
        channel_layer,
        router,
        pool=_pool(options["pool"], options["threads"] or options["concurrency"]),
        limits=options["limit"],
        burst=options["burst"],
        burst_timeout=options["burst_timeout"],
        hooks=hooks_from(options),
        only_channels=options["only_channels"],
        exclude_channels=options["exclude_channels"],
        shutdown_timeout=options["shutdown_timeout"],
        graceful=not options["disable_graceful_stop"],
        consumer_api=consumer_api,
    )
    worker.shutdown.ends_process = True
    code = worker.run()
    in_order = not worker.busy and code in (ExitCode.CLEAN, ExitCode.FAILED, ExitCode.UNREACHABLE)
    worker.shutdown.leave(code, at_once=not in_order)
    layer.close()
    return code


def _check_names(channel_layer: BaseChannelLayer, router: Router) -> None:
    try:
        for name in router.channels:
            channel_layer.valid_channel_name(name, receive=True)
    except TypeError as error:
        raise ConfigurationError(f"in the routing, {error}") from error


def _pool(kind: str, size: int | None) -> Pool:
    if kind == "thread":
        if size is not None and size > MAX_THREADS:
            raise ConfigurationError(f"{size:,} threads are too many: {MAX_THREADS:,} are the limit")
        return Pool(size or DEFAULT_THREADS)
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
    return Pool(size or DEFAULT_GREENLETS)


def show_log(verbosity: int) -> None:
    """
    Writes the log of both packages to stderr, where the project has set up no logging of its own.

    What it has set up holds for them in any case. With ``disable_existing_loggers`` it disables those of the modules
    that were imported by then; which ones these are depends on the command.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOGGERS:
            logging.getLogger(name).disabled = False
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not logger.hasHandlers():
            logger.addHandler(handler)
            if logger.level == logging.NOTSET:
                logger.setLevel(LOG_LEVELS[min(verbosity, 2)])
