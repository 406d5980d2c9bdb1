"""A scripted visit to the classic chat: two websockets, and a new worker while they are open."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from examples.chat_site import ChatSite

LINES = 60
PAUSE_SECONDS = 0.05  # between two lines: a restart takes as long as some twenty
PATIENCE_SECONDS = 20.0


class Visitor:
    """
    A page without a browser.

    ``texts`` are the lines that came, ``people`` those who are in the room, ``name`` is this page's own.
    """

    def __init__(self, site: ChatSite, name: str, headers: Mapping[str, str] | None = None) -> None:
        address = f"{site.url.replace('http', 'ws', 1)}ws/demo/?{urlencode({'name': name})}"
        self._connection = connect(address, additional_headers=headers, close_timeout=1)
        self.name = ""
        self.texts: list[str] = []
        self.people: list[str] = []
        self.closed = False

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
            self.people = content.get("people", self.people)
            self.texts += [line["text"] for line in content.get("lines", ())]

    @contextlib.contextmanager
    def _noting_its_end(self) -> Any:
        try:
            yield
        except ConnectionClosed:
            self.closed = True


def visit(site: ChatSite, console: Console, signals: Sequence[int]) -> bool:
    """Use the chat with two websockets; return whether all went well. Ends early when ``signals`` has an item."""
    with contextlib.ExitStack() as stack:
        anna, ben = (stack.enter_context(Visitor(site, name)) for name in ("anna", "ben"))

        def both(condition: Callable[[Visitor], bool]) -> bool:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not all(map(condition, (anna, ben))):
                if signals or anna.closed or ben.closed or time.monotonic() > deadline:
                    return False
                anna.listen(0.02)
                ben.listen(0.02)
            return True

        def report(what: str, *, good: bool) -> bool:
            if not signals:
                console.print(f"Chat: {what}: {'yes' if good else 'NO'}", soft_wrap=True)
            return good

        here = both(lambda visitor: visitor.people == ["anna", "ben"])
        anna.say("/roll")
        site.manage("say", "--room", "demo", "hello")
        heard = both(lambda visitor: "hello" in visitor.texts and any("anna rolls" in text for text in visitor.texts))
        restart = threading.Thread(target=site.restart_worker)
        for number in range(LINES):
            ben.say(str(number))
            time.sleep(PAUSE_SECONDS)
            if number == LINES // 3:
                restart.start()
        restart.join()
        in_order = both(lambda visitor: len(visitor.numbers) == LINES)
        in_order = in_order and anna.numbers == ben.numbers == list(range(LINES))
        return all(
            (
                report("two websockets see each other in the room", good=here),
                report("a management command and the gevent worker speak to both", good=heard),
                report(f"{LINES} lines, the worker restarted amid them: all, in order", good=in_order),
                report("the same two websockets are open still", good=not (anna.closed or ben.closed)),
            )
        )
