"""The environments that this process has open: one for each directory, for all of its layers, until it forks."""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: all hubs and native threads share the environments
import logging
import threading
from collections import deque
from pathlib import Path

from asgi_redis.engine.stores.lmdb.environment import Environment, Replaced
from asgi_redis.exceptions import UnsafeSignalHandler, UnusableStore
from asgi_redis.process import fork

logger = logging.getLogger("asgi_redis")

_PATIENCE = 2.0  # seconds that a fork waits for a transaction

# Those that this process has open, by directory.
_open: dict[Path, Environment] = {}
# Those that it has inherited in the middle of a transaction of another thread. It cannot even close them, and LMDB
# opens none twice in a process.
_torn: set[Path] = set()
_opening = _thread.RLock()
_makes = False  # whether a thread makes one

abandoned: deque[object] = deque()
"""The users whose stores were collected as garbage: at such a moment no lock may be taken."""


def use(directory: Path, max_bytes: int, user: object, repair: bool = True) -> Environment:
    """
    Returns the environment in ``directory`` for ``user``, who will ``leave`` it, opening it if need be.

    ``repair`` makes it anew where there is none, or one that cannot be used and that nobody uses.
    """
    fork.check()
    if directory in _torn:
        raise UnusableStore(
            f"the IPC store in {directory} cannot be used by this process: it was forked in the middle of what "
            f"another thread did there; let it be forked before other threads use the layer"
        )
    with _opening:
        while abandoned:
            gone = abandoned.popleft()
            for other in list(_open.values()):
                leave(other, gone)
        environment = _open.get(directory)
        if environment is not None:
            try:
                environment.ensure(max_bytes)
            except Replaced:
                environment.close()
        if environment is None or environment.closed:
            environment = _open[directory] = _make(directory, max_bytes, repair)
        environment.users.add(user)
    if environment.problem:
        problem, environment.problem = environment.problem, None
        logger.warning("the IPC store in %s is %s; starting with an empty one", directory, problem)
    return environment


def _make(directory: Path, max_bytes: int, repair: bool) -> Environment:
    global _makes
    if _makes:
        raise UnsafeSignalHandler(
            f"a signal handler cannot open the IPC store in {directory}: it has interrupted that"
        )
    _makes = True
    try:
        return Environment(directory, max_bytes, repair)
    finally:
        _makes = False


def leave(environment: Environment, user: object) -> None:
    """Gives back what ``use`` returned; the last one closes it."""
    fork.check()
    with _opening:
        environment.users.discard(user)
        if not environment.users:
            environment.close()
            if _open.get(environment.directory) is environment:
                del _open[environment.directory]


class _Fork:
    """What becomes of them in a forked process: it closes what it has inherited, which LMDB cannot use there."""

    def __init__(self) -> None:
        self._held = threading.local()

    def hold(self) -> None:
        """Waits until no transaction goes on, but those of a thread that forks in a signal handler in its midst."""
        held: list[_thread.RLock] = []

        def take(lock: _thread.RLock) -> None:
            # It may never be free: another thread waits in turn for what this one has.
            if lock.acquire(timeout=_PATIENCE):
                held.append(lock)

        take(_opening)
        environments = list(_open.values())  # now, as there may be a new one since it had to wait
        for environment in environments:
            environment.is_current = False  # other threads now wait in ``use``, and take turns no longer
            take(environment.lock)
        self._held.locks = held
        self._held.environments = environments

    def release(self) -> None:
        """Lets the parent go on."""
        held = self._held.__dict__
        for environment in held.pop("environments", ()):
            environment.is_current = not environment.closed
        for lock in held.pop("locks", ()):
            lock.release()

    def start_process(self) -> None:
        """Closes them all."""
        global _makes, _opening
        _opening, _makes = _thread.RLock(), False
        for environment in _open.values():
            if not environment.leave_to_parent():
                _torn.add(environment.directory)
        _open.clear()
        self.release()  # the call that a signal handler has interrupted may be waiting for one of them


fork.register_holder(_Fork())
