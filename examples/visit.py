"""A scripted visit to the classic chat: two websockets, and a new worker while they are open."""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from examples.chat_site import ChatSite

LINES = 40
PAUSE_SECONDS = 0.05  # between two lines: most are said while no worker is there
PATIENCE_SECONDS = 20.0


class Visitor:
    """
    A page without a browser.

    ``texts`` are the lines that came, in order; ``people`` are those in the room, ``name`` is this page's own.
    """

    def __init__(self, site: ChatSite, name: str, headers: Mapping[str, str] | None = None) -> None:
        address = f"{site.url.replace('http', 'ws', 1)}ws/demo/?{urlencode({'name': name})}"
        self._connection = connect(address, origin=site.url.rstrip("/"), additional_headers=headers, close_timeout=1)
        self.name = ""
        self.texts: list[str] = []
        self.people: list[str] = []
        self.closed = False
        self._change = 0

    def __enter__(self) -> Visitor:
        self._socket = self._connection.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._connection.__exit__(*exc_info)

    @property
    def numbers(self) -> list[int]:
        """The lines that are numbers."""
        return [int(text) for text in self.texts if text.isdecimal()]

    def say(self, text: str) -> None:
        """Send a line; without text it is a heartbeat."""
        self.send(json.dumps({"text": text}))

    def send(self, frame: str) -> None:
        """Send a frame as it is."""
        with self._noting_its_end():
            self._socket.send(frame)

    def listen(self, seconds: float) -> None:
        """Receive one frame, if it comes in that time."""
        with self._noting_its_end(), contextlib.suppress(TimeoutError):
            content: dict[str, Any] = json.loads(self._socket.recv(timeout=seconds))
            self.name = content.get("name", self.name)
            if content.get("change", 0) > self._change:
                self._change, self.people = content["change"], content["people"]
            self.texts += [line["text"] for line in content.get("lines", ())]

    @contextlib.contextmanager
    def _noting_its_end(self) -> Any:
        try:
            yield
        except ConnectionClosed:
            self.closed = True


class Visit:
    """Two visitors, anna and ben. What they wait for ends early when ``signals`` has an item."""

    def __init__(self, site: ChatSite, anna: Visitor, ben: Visitor, signals: Sequence[int]) -> None:
        self.site = site
        self.anna = anna
        self.ben = ben
        self._signals = signals

    def both(self, condition: Callable[[Visitor], bool]) -> bool:
        """Listen until the condition is true of both; return whether it became so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (condition(self.anna) and condition(self.ben)):
            if self._signals or not self.connected() or time.monotonic() > deadline:
                return False
            for visitor in (self.anna, self.ben):
                if not condition(visitor):
                    visitor.listen(0.05)
        return True

    def connected(self) -> bool:
        """Whether both sockets are open."""
        return not (self.anna.closed or self.ben.closed)

    def meet(self) -> bool:
        """See each other in the list of the room."""
        return self.both(lambda visitor: visitor.people == ["anna", "ben"])

    def hear_others(self) -> bool:
        """Hear a management command and the gevent worker."""
        self.anna.say("/roll")
        self.site.manage("say", "--room", "demo", "hello")
        return self.both(lambda one: "hello" in one.texts and any("anna rolls" in text for text in one.texts))

    def latencies(self) -> list[float]:
        """Return for some lines the seconds until both have them, or an empty list."""
        found = []
        for number in range(LINES):
            text, said = f"line {number}", time.monotonic()
            self.anna.say(text)
            if not self.both(lambda visitor, text=text: text in visitor.texts):  # type: ignore[misc]
                return []
            found.append(time.monotonic() - said)
        return found

    def outlive_worker(self) -> bool:
        """Say lines while the worker is restarted; both hear all of them in order."""
        restart = threading.Thread(target=self.site.restart_worker)
        restart.start()
        for number in range(LINES):
            self.ben.say(str(number))
            time.sleep(PAUSE_SECONDS)
        restart.join()
        heard = self.both(lambda visitor: len(visitor.numbers) == LINES)
        return heard and self.anna.numbers == self.ben.numbers == list(range(LINES))


def visit(site: ChatSite, console: Console, signals: Sequence[int]) -> bool:
    """Use the chat with two websockets; return whether all went well. Ends early when ``signals`` has an item."""
    with Visitor(site, "anna") as anna, Visitor(site, "ben") as ben:
        one = Visit(site, anna, ben, signals)
        steps: dict[str, Callable[[], object]] = {
            "two websockets see each other in the room": one.meet,
            "a management command and the gevent worker speak to both": one.hear_others,
            f"{LINES} lines, one after another, come to both": one.latencies,
            f"{LINES} lines while the worker is restarted come to both, in order": one.outlive_worker,
            "the same two websockets are still open": one.connected,
        }
        for what, step in steps.items():
            result = step()
            if signals:
                return False
            told = (
                f"yes, after {statistics.median(result) * 1000:.0f} ms (p50)"
                if result and isinstance(result, list)
                else ""
            )
            console.print(f"Chat: {what}: {told or ('yes' if result else 'NO')}", soft_wrap=True)
            if not result:
                return False
        return True
