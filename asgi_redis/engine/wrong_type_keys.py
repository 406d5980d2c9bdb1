"""Keys of another type in the place of queues: only their channels cannot be read."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from asgi_redis.connection import describe_wrong_type
from asgi_redis.engine.receive_call import Source, Turn

logger = logging.getLogger("asgi_redis")

_LOOK_AGAIN_SECONDS = 2.0


class WrongTypeKeys:
    """
    The keys of ``sources`` to leave out until they are queues again.

    Each makes two lines in the log: one when it is found, one when it is a queue again.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._found: dict[int, set[bytes]] = {}
        self._look_at = 0.0

    def find(self, number: int, queues: Sequence[bytes]) -> bool:
        """Look at queues that a source refuses to read; return whether one is none."""
        source = self._sources[number]
        try:
            wrong = source.wrong_types(queues)
        except RedisError:
            return False  # an outage then, which the next reading shows as well
        if not wrong:
            return False
        found = self._found.setdefault(number, set())
        for queue in wrong.keys() - found:
            logger.error(
                "A channel cannot be read: %s", describe_wrong_type(source.name, source.key(queue), wrong[queue])
            )
        found.update(wrong)
        self._look_at = time.monotonic() + _LOOK_AGAIN_SECONDS
        return True

    def without(self, turn: Turn) -> Turn:
        """Return ``turn`` without the queues whose keys are none."""
        if not self._found:
            return turn
        if time.monotonic() >= self._look_at:
            self._look_again()
        left = [
            (number, [one for one in queues if one not in self._found.get(number, ())]) for number, queues in turn
        ]
        return [(number, queues) for number, queues in left if queues]

    def _look_again(self) -> None:
        self._look_at = time.monotonic() + _LOOK_AGAIN_SECONDS
        for number, found in list(self._found.items()):
            source = self._sources[number]
            try:
                right = found - source.wrong_types(list(found)).keys()
            except RedisError:
                continue
            for queue in right:
                key = source.key(queue).decode(errors="replace")
                logger.warning("Key %r at %s is a queue again", key, source.name)
            found -= right
            if not found:
                del self._found[number]
