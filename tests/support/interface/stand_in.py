"""A thread that stands in for the workers behind an interface."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis

from asgi_redis.layers.base import BaseChannelLayer
from tests.support.waiting import eventually

CHANNELS = ["http.request", "http.disconnect", "websocket.connect", "websocket.receive", "websocket.disconnect"]
Message = dict[str, Any]


class StandIn:
    """
    Reads the interface's messages from ``layer`` and answers with ``answer(worker, channel, message)``.

    While it is held it reads nothing, so that channels fill. It goes on through outages of Redis. Errors of
    ``answer`` are raised at its end.
    """

    def __init__(
        self, layer: BaseChannelLayer, answer: Callable[[StandIn, str, Message], None] | None = None
    ) -> None:
        self.layer = layer
        self.answer = answer or Echo()
        self.seen: list[tuple[str, Message]] = []
        self._errors: list[BaseException] = []
        self._going = threading.Event()
        self._going.set()
        self._idle = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in worker")

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._going.set()
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def hold(self) -> None:
        """Returns when it reads nothing any more."""
        self._idle.clear()
        self._going.clear()
        assert self._idle.wait(10)

    def go(self) -> None:
        self._going.set()

    def send(self, channel: str, message: Message) -> None:
        self.layer.send(channel, message)

    def reply(self, to: Message, message: Message) -> None:
        """Sends a reply, and tries again while Redis is away."""
        while True:
            try:
                return self.layer.send(to["reply_channel"], message)
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                if self._ended.wait(0.05):
                    raise

    def of(self, channel: str) -> list[Message]:
        """The messages of a channel that it has seen."""
        return [message for name, message in list(self.seen) if name == channel]

    def sees(self, channel: str, count: int = 1, timeout: float = 20) -> list[Message]:
        """Returns the messages of a channel when it has seen ``count``."""
        eventually(lambda: len(self.of(channel)) >= count, timeout)
        return self.of(channel)

    def whole_body(self, message: Message) -> bytes | None:
        """The body of a request, read to its end; None where the client has gone."""
        body = bytearray(message.get("body", b""))
        channel = message.get("body_channel")
        while channel:
            _, chunk = self.layer.receive([channel], block=True)
            if chunk is None:
                raise AssertionError(f"no more of the body within {self.layer.block_timeout:g} s: {len(body)} bytes")
            if chunk.get("closed"):
                return None
            assert chunk["position"] == len(body)
            body += chunk["content"]
            channel = channel if chunk["more_content"] else None
        return bytes(body)

    def _run(self) -> None:
        while not self._ended.is_set():
            if not self._going.is_set():
                self._idle.set()
                self._going.wait()
                continue
            try:
                batch = self.layer.receive_batch(CHANNELS, 1, 0.05)
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                self._ended.wait(0.05)
                continue
            for channel, message in batch:
                self._take(channel, message)

    def _take(self, channel: str, message: Message) -> None:
        self.seen.append((channel, message))
        try:
            self.answer(self, channel, message)
        except BaseException as error:  # noqa: BLE001  raised at the end
            self._errors.append(error)


class Echo:
    """Accepts every websocket, sends its frames back, and answers requests with their bodies."""

    def __call__(self, worker: StandIn, channel: str, message: Message) -> None:
        if channel == "websocket.connect":
            self.connect(worker, message)
        elif channel == "websocket.receive":
            self.receive(worker, message)
        elif channel == "http.request":
            self.request(worker, message)

    def connect(self, worker: StandIn, message: Message) -> None:
        worker.reply(message, {"accept": True})

    def receive(self, worker: StandIn, message: Message) -> None:
        worker.reply(message, {key: message[key] for key in ("text", "bytes") if message.get(key) is not None})

    def request(self, worker: StandIn, message: Message) -> None:
        body = worker.whole_body(message)
        if body is not None:
            worker.reply(message, {"status": 200, "headers": [[b"x-test", b"1"]], "content": body})


class Quiet(Echo):
    """Accepts every websocket, and answers nothing else."""

    def receive(self, worker: StandIn, message: Message) -> None:
        pass

    request = receive


class Silent(Quiet):
    """Answers nothing."""

    def connect(self, worker: StandIn, message: Message) -> None:
        pass


class Connecting(Echo):
    """Answers each handshake with the same replies."""

    def __init__(self, *replies: Message) -> None:
        self.replies = replies

    def connect(self, worker: StandIn, message: Message) -> None:
        for reply in self.replies:
            worker.reply(message, reply)
