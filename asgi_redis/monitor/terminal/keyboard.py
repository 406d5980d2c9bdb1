"""The keyboard of the live view: keys come one by one, and signals are noted."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any

from asgi_redis.process.wakeup import WakeupPipe

if TYPE_CHECKING:
    from typing_extensions import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_KEY = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])|.", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;]*|O)?$")
_REST_SECONDS = 0.05  # until the rest of an escape sequence
_NAMES = {
    text: name
    for name, texts in {
        "up": ("\x1b[A", "\x1bOA"),
        "down": ("\x1b[B", "\x1bOB"),
        "page up": ("\x1b[5~",),
        "page down": ("\x1b[6~",),
        "home": ("\x1b[H", "\x1bOH", "\x1b[1~"),
        "end": ("\x1b[F", "\x1bOF", "\x1b[4~"),
        "tab": ("\t",),
        "back tab": ("\x1b[Z",),
        "enter": ("\r", "\n"),
        "backspace": ("\x7f", "\b"),
        "escape": ("\x1b",),
    }.items()
    for text in texts
}


class Keyboard:
    """
    Reads keys from the terminal on the standard input.

    While it is open, keys are not shown and need no Enter, and Ctrl-Z is a key. The signals that end a process are
    noted in ``signal``, for the view to end in order. On exit the terminal and the handlers are as they were before.
    To be used in the main thread.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """The signal that is to end the process, if one has come."""
        self._descriptor = sys.stdin.fileno()
        self._wakeup = WakeupPipe()
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._descriptor)
        for number in ENDING:
            self._handlers[number] = signal.signal(number, self._note)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: self._wakeup.wake())
        mode = termios.tcgetattr(self._descriptor)
        mode[3] &= ~(termios.ECHO | termios.ICANON)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        mode[6][termios.VSUSP] = b"\0"  # a stopped view would leave its screen to the shell
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, mode)
        return self

    def __exit__(self, *exc_info: object) -> None:
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def keys(self, timeout: float) -> list[str]:
        """
        Return the keys that were pressed; wait up to ``timeout`` seconds for one.

        A signal, or a change of the terminal's size, ends the wait. Raises ``EOFError`` where the terminal has gone.
        """
        ready, _, _ = select.select([self._descriptor, self._wakeup], [], [], timeout)
        if self._wakeup in ready:
            self._wakeup.clear()
        if self._descriptor not in ready:
            return []
        text = self._read()
        while _UNFINISHED.search(text) and select.select([self._descriptor], [], [], _REST_SECONDS)[0]:
            text += self._read()
        return [_NAMES.get(key, key) for key in _KEY.findall(text)]

    def _read(self) -> str:
        data = os.read(self._descriptor, 1024)
        if not data:
            raise EOFError("the terminal has gone")
        return data.decode(errors="ignore")

    def _note(self, number: int, frame: object) -> None:
        self.signal = number
        self._wakeup.wake()
