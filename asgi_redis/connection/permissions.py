"""The commands for waiting that an ACL, or renamed commands, may forbid a user."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.server import client_id, unblock

Execute = Callable[[Operation], Any]


class Permissions:
    """
    The permissions of one shard, asked for before the first wait.

    ``may_pop``: the user may wait there at all. ``may_unblock``: ``CLIENT UNBLOCK`` may end a wait; otherwise the
    wait takes ``wake`` with it. ``are_full``: both are known to be allowed. ``may_take``: so are ``ZPOPMIN`` and
    ``TIME``, as a script has used them.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have the server asked before the next wait: it has refused an allowed command."""
        self._known = self.are_full = self.may_take = False
        self.may_pop = True
        self.may_unblock = True

    def learn(self, execute: Execute, parts: Sequence[Operation]) -> None:
        """Ask whether the ``parts`` of a wait are allowed, unless that is known."""
        if self._known:
            return
        may_unblock = True
        try:
            may_pop = all(_is_allowed(execute, part) for part in parts)
            # The connection that asks, which waits for nothing.
            may_unblock = _is_allowed(execute, unblock(execute(client_id())))
        except (ResponseError, UnsupportedRedis):
            may_unblock = False
        except RedisError:
            return
        self.may_pop, self.may_unblock, self._known = may_pop, may_unblock, True
        self.are_full = may_pop and may_unblock

    def wake(self) -> bytes:
        """Return the name of a queue to end a wait with; empty for ``CLIENT UNBLOCK``."""
        return b"" if self.may_unblock else uuid.uuid4().hex.encode()


def _is_allowed(execute: Execute, operation: Operation) -> bool:
    try:
        execute(operation)
    except (NoPermissionError, UnsupportedRedis):
        return False
    except ResponseError:
        pass  # it is carried out, or would be
    return True
