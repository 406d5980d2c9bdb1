"""Messages that this process has taken off Redis and not yet handed out."""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Any

_UNCHANGEABLE = {str, bytes, int, float, bool, type(None)}


class KeptMessages:
    """
    The rest of a message that is for several channels of this process.

    One entry of a process-local queue serves all the members of a group that live in the process. The first gets
    it from Redis, the others from here, until it expires.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: OrderedDict[str, deque[tuple[float, str, dict[str, Any]]]] = OrderedDict()

    def put(self, queue: str, channels: Sequence[str], message: dict[str, Any], expires_in: float) -> None:
        """Keeps a copy for each of ``channels``, all of them of ``queue``, for ``expires_in`` seconds."""
        now = time.monotonic()
        expires = now + expires_in
        with self._lock:
            self._drop_expired(now)
            kept = self._queues.setdefault(queue, deque())
            kept.extend((expires, channel, _copied(message)) for channel in channels)

    def take(self, queues: Iterable[str], limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Returns up to ``limit`` of what is kept for ``queues``, as (channel, message)."""
        taken: list[tuple[str, dict[str, Any]]] = []
        if not self._queues:
            return taken
        with self._lock:
            for queue in queues:
                kept = self._queues.get(queue)
                while kept and len(taken) < limit:
                    expires, channel, message = kept.popleft()
                    if time.monotonic() <= expires:
                        taken.append((channel, message))
                if kept is not None and not kept:
                    del self._queues[queue]
        return taken

    def _drop_expired(self, now: float) -> None:
        """Looks at two queues, others each time: nobody may read them any more."""
        for _ in range(min(2, len(self._queues))):
            queue, kept = next(iter(self._queues.items()))
            if kept[-1][0] < now:
                del self._queues[queue]
            else:
                self._queues.move_to_end(queue)

    def __bool__(self) -> bool:
        return bool(self._queues)


def _copied(value: Any) -> Any:
    """Returns a copy that shares nothing that can be changed; ``copy.deepcopy`` takes several times as long."""
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list:
        return [_copied(item) for item in value]
    return value if kind in _UNCHANGEABLE else copy.deepcopy(value)
