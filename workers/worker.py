"""
A worker: a puller, a pool and a dispatcher, from start to stop.

Pulling that fails is resumed; when it keeps failing, the worker fails.

The order of a stop:

1. The first SIGTERM or SIGINT is recorded, and wakes ``run``; so do ``quiet`` and pulling that failed.
2. ``quiet``: no slot is handed out any more, no receive is started, and the one in progress is ended.
3. The last receive ends. Its messages are in their slots by then. A server that hangs is waited for.
4. Running consumers are waited for until one deadline, ``shutdown_timeout`` after step 1.
5. Past it, the consumers that still run are logged and left behind. ``run`` returns the exit code.

A second signal, one second after the first or later, kills: steps 3 and 4 are cut short. Where the main thread is
held, so that ``run`` cannot act, ``stopping.Shutdown`` ends the process with the same exit code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.layers.base import BaseChannelLayer
from workers import delay
from workers.asgi import ChannelLayerWrapper, adapted, router_for
from workers.channel import pending_message_store
from workers.exceptions import ConfigurationError
from workers.loops.greenlets import keep_running_loops_apart
from workers.routing import Router, Routing
from workers.runtime import logs
from workers.runtime.crashes import CrashLimiter, Failure
from workers.runtime.dispatcher import OWN, ConsumerAPI, Dispatcher
from workers.runtime.hooks import LifecycleHook
from workers.runtime.limits import ChannelLimits, chosen
from workers.runtime.pool import Pool
from workers.runtime.puller import BURST_TIMEOUT_SECONDS, Puller
from workers.runtime.stopping import ExitCode, Shutdown
from workers.signals import sending

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
WAKE_SECONDS = 0.5
LEAVING_SECONDS = 0.5  # for free slots to end, regardless of the timeout for consumers


class Worker:
    """
    Serves the channels of a routing from one layer.

    Also serves ``asgi.delay`` where the layer stores delayed messages.

    Args:
        channel_layer: The layer to receive from, or a ``ChannelLayerWrapper`` of it.
        routing: A ``Router``, or an argument for one; by default that of a ``ChannelLayerWrapper``.
        pool: The slots, by default one thread.
        only_channels: Globs; channels that match none of them are left out.
        exclude_channels: Globs; channels that match one of them are left out.
        limits: Pairs of a glob and the number of messages that may be in progress on each channel that matches.
        shutdown_timeout: The seconds that a stop waits for running consumers.
        graceful: Whether a stop waits for running consumers at all.
        burst: Stop when the channels are empty.
        burst_timeout: The seconds after which a burst gives up a server that does not answer.
        hooks: Called when the worker starts, twice a second, and when it stops.
        consumer_api: The classes by which the consumers know the worker.

    Raises:
        ConfigurationError: No channel is left to listen on.
    """

    termed = False
    """Whether to stop, as in Channels 1. It is looked at twice a second; ``quiet`` stops at once."""

    def __init__(
        self,
        channel_layer: BaseChannelLayer | ChannelLayerWrapper,
        routing: Router | Routing | None = None,
        *,
        pool: Pool | None = None,
        only_channels: Iterable[str] | None = None,
        exclude_channels: Iterable[str] | None = None,
        limits: Iterable[tuple[str, int]] = (),
        shutdown_timeout: float = 30.0,
        graceful: bool = True,
        burst: bool = False,
        burst_timeout: float = BURST_TIMEOUT_SECONDS,
        hooks: Iterable[LifecycleHook] = (),
        consumer_api: ConsumerAPI = OWN,
    ) -> None:
        router = router_for(channel_layer, routing)
        nothing_to_do = not router.channels and delay.CHANNEL not in (only_channels or ())
        self.channel_layer = adapted(channel_layer)
        router, postpone, delivery = delay.with_delivery(router.with_websockets(), self.channel_layer)
        self.channels = chosen(router.channels, only_channels, exclude_channels)
        if nothing_to_do or not self.channels:
            raise ConfigurationError("no channels to listen on: the routing, or what is left of it, is empty")
        # Wakes ``run``: by None, or by an exception of pulling. Its ``put`` is safe within a signal handler.
        self._events: SimpleQueue[BaseException | None] = SimpleQueue()
        self._failure = Failure(lambda: self._events.put(None))
        self._crashes = CrashLimiter()
        self.shutdown = Shutdown(lambda: self._events.put(None), shutdown_timeout, self._log_left_behind)
        given: Any = channel_layer  # consumers get it as it is
        self.dispatcher = Dispatcher(router, given, type(self), consumer_api, self._failure.note, postpone)
        self.dispatcher.count = self.channel_layer.count
        self._reader = self.channel_layer.reader()
        self.limits = ChannelLimits(self.channels, limits)
        self._puller = Puller(self._reader, self.limits, self.dispatcher.dispatch, burst, burst_timeout)
        self.pool = pool or Pool(1)
        self._graceful = graceful
        self._signals = consumer_api.signals
        self._hooks = [*hooks, *delivery]
        self._hooks_to_quiet = list(self._hooks)
        self._runs = False  # whether ``run`` is in progress, which writes to the log after the stop

    @property
    def busy(self) -> bool:
        """Whether a consumer runs."""
        return bool(self.dispatcher.running())

    @property
    def popping(self) -> bool:
        """Whether a server has answered the last receive; false before the first one."""
        return self._reader.serving

    @property
    def pulled_at(self) -> float:
        """
        The last sign of life of pulling (``time.monotonic``).

        It is at most a few seconds old, unless something hangs. While all slots are busy nothing is pulled, and it is
        the current time.
        """
        return time.monotonic() if self.pool.saturated else self._puller.pulled_at

    def start(self) -> None:
        """Start pulling and running messages, and return."""
        channels, slots = _counted(len(self.channels), "channel"), _counted(self.pool.size, "slot")
        names = ", ".join(self.channels)
        logger.info("Listening on %s (%s) with %s, on %s", channels, names, slots, self.channel_layer)
        keep_running_loops_apart()
        logs.guard(self._failure.note_log)
        for signal in (self._signals.worker_process_ready, self._signals.worker_ready):
            for receiver, error in sending(signal)(self):
                self._failure.note(f"signal receiver {receiver!r}", error)
        for hook in self._hooks:
            self._failure.attempt(hook.start, self)
        self.pool.start(self._puller.fetch, self._events.put)

    def quiet(self) -> None:
        """Stop pulling for good: step 2. From any thread, also before ``start``."""
        self.shutdown.begin()  # first: the rest may wait for Redis
        self.dispatcher.quieted = True
        self._puller.quiet()
        self._events.put(None)

    def stop(self, deadline: float) -> bool:
        """
        Wait for running messages: steps 3 and 4, or 3 alone when not ``graceful``.

        To be called after ``quiet``.

        Args:
            deadline: A time of ``time.monotonic``.

        Returns:
            Whether all has ended by the deadline. Otherwise it may be called again.
        """
        while self._hooks_to_quiet:
            self._failure.attempt(self._hooks_to_quiet.pop(0).quiet)
        ended = self.pool.stop(deadline) if self._graceful else self.pool.settle(deadline)
        # None where it has raised: then there is nothing to wait for.
        if not ended or self._failure.attempt(self._reader.settle, deadline) is False:
            return False
        self._stop_hooks()
        if not self._runs:
            logs.release(self._failure.note_log)
        return True

    def kill(self) -> None:
        """Stop pulling, and log and leave behind the consumers that still run."""
        self.quiet()
        self._log_left_behind()
        self.pool.kill()

    def run(self) -> int:
        """
        Serve until SIGTERM, SIGINT, ``quiet`` or a failure, then stop.

        Signals are handled in the main thread only; there the process is ended when ``run`` cannot return in time.

        Returns:
            An ``ExitCode`` as the exit code, or 128 and the number of a second signal. When consumers were left
            behind, ``busy`` is true, and the process ought to be ended by ``os._exit``.
        """
        self._runs = True
        with self.shutdown:
            self._failure.attempt(self.start)
            self._failure.attempt(self._serve)
            self._failure.attempt(self.quiet)
            code = self._drain()
            self._stop_hooks()
        if code in {ExitCode.CLEAN, ExitCode.UNREACHABLE} and self._failure.failed:
            code = self._failure.code
        logger.info(
            "Stopped; %d messages done, %d of them failed; %d pending messages dropped",
            self.dispatcher.done,
            self.dispatcher.failed,
            pending_message_store.dropped,
        )
        logs.release(self._failure.note_log)
        return code

    def _serve(self) -> None:
        """Wait for a reason to stop: step 1."""
        while not self._puller.quieted and not self._failure.failed and not self.termed:
            # Never for long: a signal that comes just before the wait does not end it, and Python calls the handler
            # only afterwards.
            with contextlib.suppress(Empty):
                error = self._events.get(timeout=WAKE_SECONDS)
                if error is None:
                    return
                self._resume_after(error)
                continue
            for hook in self._hooks:
                reason = self._failure.attempt(hook.check, self)
                if reason is not None:
                    logger.info("Stopping: %s", reason)
                    return

    def _resume_after(self, error: BaseException) -> None:
        if isinstance(error, ChannelLayerError):
            self._failure.note_lasting(error)
            return
        logger.critical("Pulling has failed; it goes on", exc_info=error)
        if self._crashes.add():
            logger.critical("Pulling fails again and again; the worker ends")
            self._failure.failed = True
        else:
            self.pool.resume()

    def _drain(self) -> int:
        """Stop, and return the exit code: steps 3 to 5."""
        deadline = self.shutdown.begin()
        last = max(deadline, time.monotonic() + LEAVING_SECONDS)
        if self.shutdown.signal is not None:
            logger.info("Signal %d: stopping; %d consumers run", self.shutdown.signal, len(self.dispatcher.running()))
        while not self.stop(min(last, time.monotonic() + POLL_SECONDS)):
            self._log_late_failures()
            if self.shutdown.second_signal is not None:
                logger.warning("Signal %d again: stopping at once", self.shutdown.second_signal)
                self.kill()
                return 128 + self.shutdown.second_signal
            if time.monotonic() >= (deadline if self.busy else last):
                logger.error("Not stopped within %g s", self.shutdown.timeout)
                self.kill()
                return ExitCode.TIMED_OUT
        self._log_late_failures()
        if not self._graceful:
            self.kill()
        return ExitCode.UNREACHABLE if self._puller.gave_up else ExitCode.CLEAN

    def _log_late_failures(self) -> None:
        while not self._events.empty():
            error = self._events.get_nowait()
            if error is not None:
                logger.error("Pulling has failed during the stop", exc_info=error)

    def _log_left_behind(self) -> None:
        for running in self.dispatcher.running():
            logger.warning(
                "Left behind after %.1f s: consumer %s with a message on channel %r",
                time.monotonic() - running.started,
                running.consumer,
                running.channel,
            )

    def _stop_hooks(self) -> None:
        while self._hooks:
            self._failure.attempt(self._hooks.pop(0).stop)


class WorkerGroup(Worker):
    """A ``Worker`` with ``n_threads`` slots, by default one for each CPU."""

    def __init__(
        self, *args: Any, n_threads: int | None = None, stop_gracefully: bool = False, **options: Any
    ) -> None:
        super().__init__(*args, pool=Pool(n_threads or os.cpu_count() or 1), graceful=stop_gracefully, **options)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
