"""
The open environments of this process: one for each directory.

All stores of the directory share it, until the process forks. A forked process closes the environments that it has
inherited, which LMDB cannot use there.
"""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: all hubs and native threads share the environments
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from asgi_redis.engine.stores.lmdb import waiters
from asgi_redis.engine.stores.lmdb.data_file import Replaced
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.messages import push
from asgi_redis.engine.stores.lmdb.records import now
from asgi_redis.engine.stores.lmdb.wakeup_sockets import WakeupSockets
from asgi_redis.exceptions import UnsafeSignalHandler, UnusableStore
from asgi_redis.process import fork

T = TypeVar("T")

logger = logging.getLogger("asgi_redis")

_FORK_WAIT_SECONDS = 2.0  # that a fork waits for a transaction

_open: dict[Path, Environment] = {}
# Directories of environments that were inherited in the middle of a transaction of another thread. This process
# cannot even close them, and LMDB opens none twice in a process.
_torn: set[Path] = set()
_opening = _thread.RLock()
_makes = False  # whether a thread makes one
# The users whose stores were collected as garbage: at such a moment no lock may be taken.
_abandoned: deque[object] = deque()


class EnvironmentUser:
    """
    A user of the environment in ``directory``.

    The first user opens it when it is needed, the last one closes it. ``max_bytes`` bounds the pages in use.
    ``repair``: make it anew where it is missing, or damaged and not in use.
    """

    def __init__(self, directory: Path, max_bytes: int, repair: bool = True) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._repair = repair
        self._environment: Environment | None = None
        self._user = object()
        weakref.finalize(self, _abandoned.append, self._user).atexit = False

    def transact(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return ``work(environment, txn, now, *arguments)``, done in one transaction."""
        while True:
            fork.check()
            environment = self._environment  # as ``environment`` does, without a call
            if environment is None or not environment.is_current:
                environment = self.environment()
            try:
                with environment.lock:
                    if environment.busy:
                        environment.check_idle()
                    environment.busy = True
                    try:
                        if environment.closed:
                            continue
                        with environment.begin(None, None, True) as txn:
                            at = now()
                            if at >= environment.check_at:
                                environment.check(at)
                            result = work(environment, txn, at, *arguments)
                    except Exception as error:  # noqa: BLE001  it is raised again, unless a second attempt can succeed
                        environment.recover(error, bounded=work is push)
                        continue
                    finally:
                        environment.busy = False
                    if environment.sockets.chosen:
                        environment.sockets.wake_chosen()
            except Replaced:
                environment.close()
                continue
            if environment.sockets.gone and work is not waiters.replace:
                self._replace_gone(environment.sockets)
            return result

    def _replace_gone(self, sockets: WakeupSockets) -> None:
        try:
            while sockets.gone:
                gone, sockets.gone = sockets.gone, []
                self.transact(waiters.replace, gone)
        except (OSError, lmdb.Error, UnusableStore) as error:
            # The messages were sent, and other receivers look by themselves.
            logger.warning("the IPC store in %s wakes no other receiver: %s", self.directory, error)

    def environment(self) -> Environment:
        """Return the environment, opened anew if it is closed."""
        fork.check()
        environment = self._environment
        if environment is None or not environment.is_current:
            environment = self._environment = self._use()
        return environment

    def _use(self) -> Environment:
        if self.directory in _torn:
            raise UnusableStore(
                f"the IPC store in {self.directory} cannot be used by this process: it was forked in the middle of "
                f"what another thread did there; let it be forked before other threads use the layer"
            )
        with _opening:
            while _abandoned:
                gone = _abandoned.popleft()
                for other in list(_open.values()):
                    _leave(other, gone)
            environment = _open.get(self.directory)
            if environment is not None:
                try:
                    environment.ensure(self._max_bytes)
                except Replaced:
                    environment.close()
            if environment is None or environment.closed:
                environment = _open[self.directory] = _make(self.directory, self._max_bytes, self._repair)
            environment.users.add(self._user)
        if environment.problem:
            problem, environment.problem = environment.problem, None
            logger.warning("the IPC store in %s is %s; starting with an empty one", self.directory, problem)
        return environment

    def close(self) -> None:
        """Leave the environment. This object stays usable, and opens it again."""
        environment, self._environment = self._environment, None
        if environment is not None:
            fork.check()
            with _opening:
                _leave(environment, self._user)


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


def _leave(environment: Environment, user: object) -> None:
    environment.users.discard(user)
    if not environment.users:
        environment.close()
        if _open.get(environment.directory) is environment:
            del _open[environment.directory]


class _Fork:
    def __init__(self) -> None:
        self._held = threading.local()

    def hold(self) -> None:
        """Wait for transactions to end, unless a signal handler forks amid its thread's."""
        held: list[_thread.RLock] = []

        def acquire(lock: _thread.RLock) -> None:
            # It may never be free: another thread may wait for a lock that this one has.
            if lock.acquire(timeout=_FORK_WAIT_SECONDS):
                held.append(lock)

        acquire(_opening)
        environments = list(_open.values())  # now: there may be a new one since it had to wait
        for environment in environments:
            environment.is_current = False  # other threads now wait in ``_use``, and take turns no longer
            acquire(environment.lock)
        self._held.locks = held
        self._held.environments = environments

    def release(self) -> None:
        """Let the parent go on."""
        held = self._held.__dict__
        for environment in held.pop("environments", ()):
            environment.is_current = not environment.closed
        for lock in held.pop("locks", ()):
            lock.release()

    def start_process(self) -> None:
        """Close all environments."""
        global _makes, _opening
        _opening, _makes = _thread.RLock(), False
        for environment in _open.values():
            if not environment.leave_to_parent():
                _torn.add(environment.directory)
        _open.clear()
        self.release()  # the call that a signal handler has interrupted may be waiting for one of them


fork.register_holder(_Fork())
