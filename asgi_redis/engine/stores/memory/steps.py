"""Steps that take turns: those of all threads, greenlets and signal handlers."""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: all hubs and native threads share the store
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from asgi_redis.exceptions import UnsafeSignalHandler
from asgi_redis.process import fork

_Step = TypeVar("_Step", bound=Callable[..., Any])


class Stepper:
    """The base of an object with steps. Its part of a forked process begins anew."""

    def __init__(self) -> None:
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Begin with no step going on: that is the parent's."""
        self.turn = _thread.RLock()
        self.busy = False


def step(method: _Step) -> _Step:
    """Run no other step meanwhile, not even one of a signal handler or finaliser."""

    @functools.wraps(method)
    def take_turn(self: Stepper, *arguments: Any) -> Any:
        fork.check()
        with self.turn:
            if self.busy:
                raise UnsafeSignalHandler(
                    "a signal handler cannot use the layer: it has interrupted a call that does"
                )
            self.busy = True
            try:
                return method(self, *arguments)
            finally:
                self.busy = False

    return cast("_Step", take_turn)
