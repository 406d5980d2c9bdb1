"""
A worker: a puller, a pool and a dispatcher, from start to stop.

A thread of the pool that dies is replaced, and pulling that fails is taken up again; when that keeps happening the
worker fails.

The order of a stop:

1. The first SIGTERM or SIGINT is recorded, and wakes ``run``; so do ``quiet`` and pulling that failed.
2. ``quiet``: no slot is handed out any more, no receive is started, and the one that waits is ended.
3. The last receive ends. The messages that it brought are in their slots by then; a server that hangs is waited for.
4. The consumers that run are waited for, until one deadline, ``shutdown_timeout`` after step 1.
5. Past it, what still runs is logged, and left to its fate. ``run`` returns the exit code.

A further signal, a second after the first or later, kills: steps 3 and 4 are cut short. Where something holds the
main thread, so that ``run`` cannot act, ``stopping.Watchdog`` ends the process in its place, with the same exit code.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable
from enum import IntEnum
from queue import Empty, SimpleQueue

from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.layers.base import BaseChannelLayer
from workers import delay
from workers.asgi import adapted
from workers.channel import pending_message_store
from workers.exceptions import ConfigurationError
from workers.loops.greenlets import keep_running_loops_apart
from workers.routing import Router, Routing
from workers.runtime import logs
from workers.runtime.consumer_api import OWN, ConsumerAPI
from workers.runtime.crashes import CrashLimiter, Failure
from workers.runtime.dispatcher import Dispatcher
from workers.runtime.hooks import LifecycleHook
from workers.runtime.limits import Limits, chosen
from workers.runtime.pool import Pool
from workers.runtime.puller import BURST_TIMEOUT_SECONDS, Puller
from workers.runtime.stopping import StopSignal, StopSignals, Watchdog
from workers.signals import sending

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
WAKE_SECONDS = 0.5
LEAVING_SECONDS = 0.5  # that free slots get to end, whatever the timeout for consumers


class ExitCode(IntEnum):
    """
    How a worker process ends.

    One that was killed by a second signal ends with 128 and the signal's number: 143 for SIGTERM, 130 for
    SIGINT. Usage errors end with 2, as ``argparse`` has it.
    """

    CLEAN = 0
    CONFIGURATION = 1
    TIMED_OUT = 3
    FAILED = 4
    UNREACHABLE = 5


class Worker:
    """
    Serves the channels of a routing from one layer, and ``asgi.delay``, where the layer keeps delayed messages.

    ``routing`` is a ``Router`` or what makes one. ``pool`` is by default one thread. ``only_channels`` and
    ``exclude_channels`` are globs. ``limits`` are (glob, number) pairs: how many messages of a channel may be in
    progress. ``shutdown_timeout`` is how many seconds a stop waits for running consumers; with ``graceful`` false it
    does not wait for them. With ``burst`` it stops when the channels are empty, or when a server has not answered for
    ``burst_timeout`` seconds. ``hooks`` are called as it works and stops.
    ``consumer_api`` is what its consumers know it by. ``stopped_at`` is when ``run`` was told to stop
    (``time.monotonic``), or None. Raises ``ConfigurationError`` when no channel is left to listen on.
    """

    def __init__(
        self,
        channel_layer: BaseChannelLayer,
        routing: Router | Routing,
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
        router = routing if isinstance(routing, Router) else Router(routing)
        router = router.with_websockets()
        nothing_to_do = not router.channels and delay.CHANNEL not in (only_channels or ())
        self._hooks = list(hooks)
        self.channel_layer = adapted(channel_layer)
        postpone = delay.by_channel(channel_layer) if delay.CHANNEL in router.channels else None
        if self.channel_layer.delayed is not None and postpone is None:
            delivery = delay.Delivery(self.channel_layer.delayed)
            router = router.with_route(delivery.route)
            self._hooks.append(delivery)
            postpone = delivery.postpone
        self.stopped_at: float | None = None
        self.channels = chosen(router.channels, only_channels, exclude_channels)
        if nothing_to_do or not self.channels:
            raise ConfigurationError("no channels to listen on: the routing, or what is left of it, is empty")
        # What wakes ``run``. Unlike an Event's, its ``put`` is safe within a signal handler.
        # None stands for the end of pulling, an exception for its failure.
        self._wakers: SimpleQueue[StopSignal | BaseException | None] = SimpleQueue()
        self._failure = Failure(lambda: self._wakers.put(None))
        self._runs = False  # whether ``run`` was called, which writes to the log after the stop
        self.dispatcher = Dispatcher(
            router,
            channel_layer,
            sender=type(self),
            consumer_api=consumer_api,
            on_failure=self._failure.note,
            postpone=postpone,
        )
        self._pool = pool or Pool(1)
        self._graceful = graceful
        self._shutdown_timeout = shutdown_timeout
        self._unquieted = list(self._hooks)
        self._signals = consumer_api.signals
        self._crashes = CrashLimiter()
        self._watchdog = Watchdog(self._log_left_behind)
        self._reader = self.channel_layer.reader()
        self._burst_timeout = burst_timeout
        self._puller = Puller(
            self._reader, Limits(self.channels, limits), self.dispatcher.dispatch, burst, burst_timeout
        )

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
        When pulling last showed that it goes on (``time.monotonic``): every few seconds, unless something hangs.

        With all slots busy there is nothing to pull for, and it is now.
        """
        return time.monotonic() if self._pool.saturated else self._puller.pulled_at

    def start(self) -> None:
        """Starts pulling and running messages, and returns."""
        channels, slots = _counted(len(self.channels), "channel"), _counted(self._pool.size, "slot")
        names = ", ".join(self.channels)
        logger.info("Listening on %s (%s) with %s, on %s", channels, names, slots, self.channel_layer)
        keep_running_loops_apart()
        logs.guard(self._failure.note_log)
        for signal in (self._signals.worker_process_ready, self._signals.worker_ready):
            for receiver, error in sending(signal)(self):
                self._failure.note(f"signal receiver {receiver!r}", error)
        for hook in self._hooks:
            self._failure.attempt(hook.start, self)
        self._pool.start(self._puller.fetch, self._wakers.put)

    def quiet(self) -> None:
        """Stops pulling: step 2. From any thread, also before ``start``; it cannot be undone."""
        self._told_to_stop(time.monotonic())  # first: the rest may wait for Redis
        self._puller.quiet()
        self._wakers.put(None)

    def stop(self, deadline: float) -> bool:
        """
        Waits for what runs: steps 3 and 4, or 3 alone when not ``graceful``. To be called after ``quiet``.

        Returns whether all has ended by ``deadline``, a time of ``time.monotonic``. It may be called again.
        """
        while self._unquieted:
            self._failure.attempt(self._unquieted.pop(0).quiet)
        ended = self._pool.stop(deadline) if self._graceful else self._pool.settle(deadline)
        # What has raised need not be waited for.
        if not ended or self._failure.attempt(self._reader.settle, deadline) is False:
            return False
        self._stop_hooks()
        if not self._runs:
            logs.release(self._failure.note_log)
        return True

    def kill(self) -> None:
        """Stops pulling, waits for nothing, logs what still runs and leaves it to its fate."""
        self.quiet()
        self._log_left_behind()
        self._pool.kill()

    def run(self) -> int:
        """
        Serves until SIGTERM, SIGINT, a ``quiet`` from elsewhere, or a failure, then stops; returns the exit code.

        Signals are handled in the main thread only; there the process is ended when ``run`` cannot return in time.
        When consumers were left behind, ``busy`` is true, and the process ought to be ended by ``os._exit``.
        """
        self.stopped_at = None  # a quiet that came before is no reason to have less time
        self._runs = True
        with self._watchdog, StopSignals(self._record):
            self._failure.attempt(self.start)
            first = self._failure.attempt(self._serve)
            self._failure.attempt(self.quiet)
            code = self._drain(first)
            self._stop_hooks()
        if code in {ExitCode.CLEAN, ExitCode.UNREACHABLE} and self._failure.failed:
            code = ExitCode.FAILED
        logger.info(
            "Stopped; %d messages done, %d of them failed; %d pending messages dropped",
            self.dispatcher.done,
            self.dispatcher.failed,
            pending_message_store.dropped,
        )
        logs.release(self._failure.note_log)
        return code

    def _log_left_behind(self) -> None:
        for running in self.dispatcher.running():
            logger.warning(
                "Left behind after %.1f s: consumer %s with a message on channel %r",
                time.monotonic() - running.started,
                running.consumer,
                running.channel,
            )

    def _told_to_stop(self, at: float) -> float:
        if self.stopped_at is None:
            self.stopped_at = at
        deadline = self.stopped_at + self._shutdown_timeout
        self._watchdog.expect_end_by(deadline, ExitCode.TIMED_OUT)
        return deadline

    def _record(self, stop: StopSignal) -> None:
        # Called within a signal handler.
        self._told_to_stop(stop.at)
        if stop.further:
            self._watchdog.expect_end(128 + stop.number)
        self._wakers.put(stop)

    def _stop_hooks(self) -> None:
        while self._hooks:
            self._failure.attempt(self._hooks.pop(0).stop)

    def _serve(self) -> StopSignal | None:
        """Waits for a reason to stop: step 1. Returns the signal if it is one."""
        lost = 0
        while not self._puller.quieted:
            # Never for long: a signal that comes just before the wait does not end it, and Python gets to its
            # handler afterwards only.
            with contextlib.suppress(Empty):
                waker = self._wakers.get(timeout=WAKE_SECONDS)
                if not isinstance(waker, BaseException):
                    return waker  # None: somebody has called quiet, or a burst is over
                self._pull_again_after(waker)
            self._crashes.add(self._pool.lost - lost)
            lost = self._pool.lost
            if self._crashes.tripped and not self._failure.failed:
                logger.critical("Pulling fails, or pool threads die, again and again; the worker ends")
                self._failure.failed = True
            if self._failure.failed:
                return None
            for hook in self._hooks:
                reason = self._failure.attempt(hook.check, self)
                if reason is not None:
                    logger.info("Stopping: %s", reason)
                    return None
        return None

    def _pull_again_after(self, failure: BaseException) -> None:
        if isinstance(failure, ChannelLayerError):
            logger.critical("The worker ends: %s", failure)
            self._failure.failed = True
            return
        logger.critical("Pulling has failed; it goes on", exc_info=failure)
        self._crashes.add()
        if not self._crashes.tripped:
            self._pool.resume()

    def _drain(self, first: StopSignal | None) -> int:
        deadline = self._told_to_stop(time.monotonic())
        last = max(deadline, time.monotonic() + LEAVING_SECONDS)
        if first is not None:
            logger.info("Signal %d: stopping; %d consumers run", first.number, len(self.dispatcher.running()))
        while not self.stop(min(last, time.monotonic() + POLL_SECONDS)):
            further = self._further_signal()
            if further is not None:
                logger.warning("Signal %d again: stopping at once", further.number)
                self.kill()
                return 128 + further.number
            if time.monotonic() >= (deadline if self.busy else last):
                logger.error("Not stopped within %g s", self._shutdown_timeout)
                self.kill()
                return ExitCode.TIMED_OUT
        self._further_signal()  # for what else has come: the log of it
        if not self._graceful:
            self.kill()
        if self._puller.gave_up:
            logger.error("The burst ends: not every server has answered for %g s", self._burst_timeout)
            return ExitCode.UNREACHABLE
        return ExitCode.CLEAN

    def _further_signal(self) -> StopSignal | None:
        found = None
        while not self._wakers.empty():
            waker = self._wakers.get_nowait()
            if isinstance(waker, BaseException):
                logger.error("Pulling has failed during the stop", exc_info=waker)
            elif waker is not None and waker.further:
                found = waker
        return found


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
