"""Exceptions that come between any two instructions, as those of a signal handler or of gevent.Timeout may."""

from __future__ import annotations

import dis
import linecache
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


class Interruption(BaseException):
    """Like gevent.Timeout: no Exception."""


class Interrupter:
    """
    Makes a call, and raises ``Interruption`` before the instruction number ``nth`` that it executes, from 1.

    ``until`` is the code whose return ends the part of the call that is looked at. ``here`` says where it was raised;
    None when there were fewer instructions, ``seen`` of them.
    """

    def __init__(self, nth: int | None, until: CodeType) -> None:
        self.seen = 0
        self.here: str | None = None
        self.code: CodeType | None = None
        self.opname = ""
        self._nth = nth
        self._until = until

    def __call__(self, call: Callable[[], Any]) -> Any:
        """Returns what ``call`` returns, or raises ``Interruption``."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return call()
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            self.seen += 1
            if self.seen == self._nth and not _is_out_of_reach(frame):
                code = frame.f_code
                self.code, self.opname = code, dis.opname[code.co_code[frame.f_lasti]]
                self.here = f"{code.co_filename}:{frame.f_lineno} in {code.co_name}, at {frame.f_lasti}"
                raise Interruption
        elif event == "call":
            if self._nth is not None and self.seen >= self._nth:
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "return" and frame.f_code is self._until:
            self._nth = None
            sys.settrace(None)
        return self._trace


def _is_out_of_reach(frame: FrameType | None) -> bool:
    """
    Whether an exception would not come out: Python has called this as an object went.

    Nor is it raised within ``threading``, where it would leave locks of the interpreter behind, nor at the beginning
    and the end of a ``with``, where it would leave a lock held: Python calls no signal handler there.
    """
    if frame is not None and _source_line(frame).startswith("with "):
        return True
    while frame is not None and frame.f_code is not Interrupter.__call__.__code__:
        code = frame.f_code
        if code.co_filename == threading.__file__ or code.co_name in ("__del__", "remove", "_remove"):
            return True
        frame = frame.f_back
    return False


def _source_line(frame: FrameType) -> str:
    number: int | None = frame.f_lineno  # no line has the last instructions of some functions
    return linecache.getline(frame.f_code.co_filename, number or 0).lstrip()
