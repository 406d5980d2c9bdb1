"""The commands for waiting that a server lets its user run. An ACL, or renamed commands, may forbid some of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire.operations import client_id, unblock

if TYPE_CHECKING:
    from asgi_redis.connection.shard import Shard
    from asgi_redis.wire.operation import Operation


class Permissions:
    """
    Those of one shard, asked for before the first wait.

    ``may_pop`` is whether one can wait there at all. ``may_unblock`` is whether a wait can be ended by ``CLIENT
    UNBLOCK``; otherwise it takes ``wake`` with it. ``are_full`` is whether both are known to be so.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Has the server asked before the next wait, as it has refused what was allowed."""
        self._known = self.are_full = False
        self.may_pop = True
        self.may_unblock = True

    def learn(self, shard: Shard, parts: Sequence[Operation]) -> None:
        """
        Asks whether ``parts``, of which a wait is made, are allowed, unless that was done.

        Raises nothing: what is wrong otherwise is for the wait to find out.
        """
        if self._known:
            return
        may_unblock = True
        try:
            may_pop = all(_is_allowed(shard, part) for part in parts)
            # Itself, which waits for nothing.
            may_unblock = _is_allowed(shard, unblock(shard.execute(client_id(), fail_fast=True)))
        except (ResponseError, UnsupportedRedis):
            may_unblock = False
        except RedisError:
            return
        self.may_pop, self.may_unblock, self._known = may_pop, may_unblock, True
        self.are_full = may_pop and may_unblock

    def wake(self) -> bytes:
        """Returns the name of what a wait is to be ended by; an empty one where ``CLIENT UNBLOCK`` does that."""
        return b"" if self.may_unblock else uuid.uuid4().hex.encode()


def _is_allowed(shard: Shard, operation: Operation) -> bool:
    try:
        shard.execute(operation, fail_fast=True)
    except (NoPermissionError, UnsupportedRedis):
        return False
    except ResponseError:
        pass  # it is carried out, or would be
    return True
