"""
The signals of a worker, under their Channels 1 names.

``worker_process_ready`` and ``worker_ready`` are sent once each, in this order, before the first message is received,
with the ``Worker`` as sender. ``consumer_started`` (with ``environ={}``) and ``consumer_finished`` are sent around
every message, with the class ``Worker`` as sender, in the thread or greenlet that runs the consumer.

A worker runs without Django, so this module has its own ``Signal``, with the interface that Django's ``@receiver``
needs.
"""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any, Callable

logger = logging.getLogger(__name__)

Receiver = Callable[..., Any]
Errors = tuple[tuple[object, BaseException], ...]


class Signal:
    """A list of functions to call; an exception is logged, and the next is called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced as a whole on every change, so that ``send`` needs no lock.
        self._receivers: tuple[tuple[Any, Any, Receiver], ...] = ()

    def connect(self, receiver: Receiver, sender: Any = None, weak: bool = False, dispatch_uid: Any = None) -> None:
        """
        Call ``receiver(signal=..., sender=..., **named)`` at each ``send``.

        Connecting it again has no effect; ``dispatch_uid`` identifies it in its place. ``sender`` is the only sender
        to call it for. ``weak``, which callers of Django's signals pass, is ignored: receivers are kept alive.
        """
        key = dispatch_uid or receiver
        with self._lock:
            if not any(known == key and only is sender for known, only, _ in self._receivers):
                self._receivers += ((key, sender, receiver),)

    def disconnect(self, receiver: Receiver | None = None, sender: Any = None, dispatch_uid: Any = None) -> bool:
        """Undo a ``connect`` with the same arguments; return whether there was one."""
        key = dispatch_uid or receiver
        with self._lock:
            left = tuple(row for row in self._receivers if not (row[0] == key and row[1] is sender))
            found = len(left) < len(self._receivers)
            self._receivers = left
        return found

    def send(self, sender: Any, **named: Any) -> None:
        """Call every receiver, in the order in which they were connected."""
        for receiver, error in self.errors_of_receivers(sender, **named):
            logger.error("Error in signal receiver %r", receiver, exc_info=error)

    def errors_of_receivers(self, sender: Any, **named: Any) -> Errors:
        """Call every receiver likewise; return the failed ones with their exceptions."""
        errors: Errors = ()
        for _, only, receiver in self._receivers:
            if only is None or only is sender:
                try:
                    receiver(signal=self, sender=sender, **named)
                except BaseException as error:  # noqa: BLE001  it is the caller's to act on it
                    errors = (*errors, (receiver, error))
        return errors


def sending(signal: Any) -> Callable[..., Errors]:
    """Return ``errors_of_receivers`` of a signal, or the like for one of Django."""
    return signal.errors_of_receivers if isinstance(signal, Signal) else functools.partial(_send_djangos, signal)


def _send_djangos(signal: Any, sender: Any, **named: Any) -> Errors:
    try:
        responses = signal.send_robust(sender=sender, **named)
    except BaseException as error:  # noqa: BLE001  it catches Exceptions only
        return ((signal, error),)
    return tuple(row for row in responses if isinstance(row[1], BaseException))


worker_process_ready = Signal()
worker_ready = Signal()
consumer_started = Signal()
consumer_finished = Signal()
