"""A layer that keeps what it is told, for tests of what happens above a layer."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from workers.message import Message


class Full(Exception):
    pass


class FakeLayer:
    ChannelFull = Full

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.members: dict[str, set[str]] = {}
        self.full: set[str] = set()
        self.errors: dict[str, Exception] = {}
        self.attempts = 0

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self.attempts += 1
        if channel in self.errors:
            raise self.errors[channel]
        if channel in self.full:
            raise Full(channel)
        self.sent.append((channel, message))

    def send_group(self, group: str, message: dict[str, Any]) -> int:
        self.sent.append((f"group {group}", message))
        return 0

    def group_add(self, group: str, channel: str) -> None:
        self.members.setdefault(group, set()).add(channel)

    def group_discard(self, group: str, channel: str) -> None:
        self.members.get(group, set()).discard(channel)

    def receive_batch(self, channels: list[str], limit: int, timeout: float = 0) -> list[Any]:
        raise NotImplementedError

    def unblock(self) -> None:
        pass

    def close(self) -> None:
        pass


def message(channel: str = "c", layer: Any = None, **content: Any) -> Message:
    return Message(content, channel, layer or FakeLayer())


class QueueLayer(FakeLayer):
    """One that also hands messages out; receives raise ``fail_with`` while it is not None."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self.limits: list[int] = []
        self.timeouts: list[float] = []
        self.fail_with: BaseException | None = None
        self.receiving = False
        self._unblocked = 0
        self._changed = threading.Condition()

    def put(self, channel: str, **content: Any) -> None:
        with self._changed:
            self.waiting.append((channel, content))
            self._changed.notify_all()

    def receive_batch(self, channels: list[str], limit: int, timeout: float = 0) -> list[Any]:
        with self._changed:
            self.limits.append(limit)
            self.timeouts.append(timeout)
            if self.fail_with is not None:
                raise self.fail_with
            unblocked = self._unblocked
            self.receiving = True
            self._changed.wait_for(lambda: self.waiting or self._unblocked > unblocked, timeout)
            self.receiving = False
            return [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]

    def unblock(self) -> None:
        with self._changed:
            self._unblocked += 1
            self._changed.notify_all()
