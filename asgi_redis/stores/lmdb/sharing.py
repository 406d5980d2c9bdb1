"""The environments that this process has open: one for each directory, for all of its layers, until it forks."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

from asgi_redis.stores.lmdb.environment import Environment, Replaced

# Those that this process has open, by directory.
_open: dict[Path, Environment] = {}
_opening = threading.RLock()

abandoned: deque[object] = deque()
"""The users whose stores were collected as garbage: at such a moment no lock may be taken."""


def use(directory: Path, max_bytes: int, user: object, repair: bool = True) -> Environment:
    """
    Returns the environment in ``directory`` for ``user``, who will ``leave`` it, opening it if need be.

    ``repair`` makes it anew where there is none, or one that cannot be used and that nobody uses.
    """
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
            environment = _open[directory] = Environment(directory, max_bytes, repair)
        environment.users.add(user)
        return environment


def leave(environment: Environment, user: object) -> None:
    """Gives back what ``use`` returned; the last one closes it."""
    with _opening:
        environment.users.discard(user)
        if not environment.users:
            environment.close()
            if _open.get(environment.directory) is environment:
                del _open[environment.directory]


_forking: list[Environment] = []


def _before_fork() -> None:
    # LMDB cannot be used across a fork. With no transaction going on, the child can close what it has inherited.
    _opening.acquire()
    _forking.extend(_open.values())
    for environment in _forking:
        environment.lock.acquire()


def _after_fork_in_parent() -> None:
    for environment in _forking:
        environment.lock.release()
    _forking.clear()
    _opening.release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()
    for environment in _open.values():
        environment.close()
        environment.mailboxes.close_inherited()
    _open.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
