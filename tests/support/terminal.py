"""A command in a real pseudo-terminal, whose screen an emulator draws."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence

import pyte

from tests.support.waiting import eventually

ALTERNATE_SCREEN_ON, ALTERNATE_SCREEN_OFF = b"\x1b[?1049h", b"\x1b[?1049l"
CURSOR_OFF, CURSOR_ON = b"\x1b[?25l", b"\x1b[?25h"


OF_SHELL = ("COLUMNS", "LINES", "NO_COLOR", "ASGI_REDIS_URL", "DJANGO_SETTINGS_MODULE")


class Terminal:
    """Runs a command in a terminal of ``columns`` and ``rows``, which outlives it."""

    def __init__(
        self, command: Sequence[str], columns: int = 100, rows: int = 30, env: dict[str, str] | None = None
    ) -> None:
        self._master, self._slave = pty.openpty()
        self.attributes_before = termios.tcgetattr(self._slave)
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.output = b""
        self._set_size(columns, rows)
        variables = {name: value for name, value in os.environ.items() if name not in OF_SHELL}
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**variables, "TERM": "xterm-256color", **(env or {})},
            preexec_fn=self._take,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._slave)  # the last one: ends the reader
        self._reader.join()
        os.close(self._master)

    @staticmethod
    def _take() -> None:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has its background jobs ignore it, and their children
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how Linux says that the other end has been closed
            while data := os.read(self._master, 65536):
                with self._lock:
                    self.output += data
                    self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """What the screen shows now."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def shows(self, text: str, timeout: float = 20) -> str:
        """Returns the screen once it shows ``text``."""
        try:
            return eventually(lambda: text in self.text and self.text, timeout)
        except AssertionError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.text}") from None

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size: the kernel sends SIGWINCH."""
        with self._lock:
            self._screen.resize(rows, columns)
            self._set_size(columns, rows)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 20) -> int:
        return self.process.wait(timeout)

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was before the command."""
        with self._lock:
            output = self.output
        return (
            termios.tcgetattr(self._slave) == self.attributes_before
            and output.rfind(ALTERNATE_SCREEN_OFF) > output.rfind(ALTERNATE_SCREEN_ON)
            and output.rfind(CURSOR_ON) > output.rfind(CURSOR_OFF)
        )
