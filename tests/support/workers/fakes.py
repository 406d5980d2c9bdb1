"""Layers that keep what they are told and a consumer that can be held up, for tests of what happens above a layer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from typing import Any

import pytest

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

    def receive(self, channels: list[str], block: bool = False) -> tuple[None, None]:
        return None, None

    def send_group(self, group: str, message: dict[str, Any], exclude: Collection[str] = ()) -> int:
        self.sent.append((f"group {group}{''.join(f' without {name}' for name in exclude)}", message))
        return 0

    def group_add(self, group: str, channel: str) -> None:
        self.members.setdefault(group, set()).add(channel)

    def group_discard(self, group: str, channel: str) -> None:
        self.members.get(group, set()).discard(channel)

    def reader(self) -> Any:
        raise NotImplementedError

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
        self.fail_once = False
        self.receiving = False
        self.serving = False
        self.complete = True
        self.unblocked = False
        self.closed = False
        self._changed = threading.Condition()

    def put(self, channel: str, **content: Any) -> None:
        with self._changed:
            self.waiting.append((channel, content))
            self._changed.notify_all()

    def reader(self) -> Any:
        return self

    def settle(self, deadline: float) -> bool:
        return True

    def receive_batch(
        self, channels: Any, limit: int, timeout: float = 0, limits: dict[str, int] | None = None
    ) -> list[Any]:
        with self._changed:
            self.limits.append(limit)
            self.timeouts.append(timeout)
            if self.fail_with is not None:
                error = self.fail_with
                if self.fail_once:
                    self.fail_with = None
                raise error
            self.serving = True
            self.receiving = True
            left = dict(limits or {})
            channels = [name for name in channels if left.get(name, 1) > 0]
            self._changed.wait_for(lambda: self._next(channels) or self.unblocked, timeout)
            self.receiving = self.unblocked = False
            received: list[Any] = []
            while len(received) < limit:
                found = self._next([name for name in channels if left.get(name, 1)])
                if found is None:
                    break
                self.waiting.remove(found)
                received.append(found)
                if found[0] in left:
                    left[found[0]] -= 1
            return received

    def _next(self, channels: Any) -> tuple[str, dict[str, Any]] | None:
        return next((one for one in self.waiting if one[0] in channels), None)

    def unblock(self) -> None:
        with self._changed:
            self.unblocked = True
            self._changed.notify_all()

    def close(self) -> None:
        self.closed = True


@pytest.fixture(name="layer")
def queue_layer() -> QueueLayer:
    return QueueLayer()


class Consumer:
    """Waits for ``may_end`` with each message."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.ended: list[Any] = []
        self.may_end = threading.Event()

    def __call__(self, message: Message) -> None:
        self.ran.append(message["n"])
        self.may_end.wait(10)
        self.ended.append(message["n"])
