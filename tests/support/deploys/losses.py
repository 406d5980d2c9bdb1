"""Where frames were lost, by what Redis has written into its append-only file."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

# Every command is in the file, none is rewritten, and the file is complete after SIGTERM.
PERSISTENT = {"appendonly": "yes", "aof-use-rdb-preamble": "no", "auto-aof-rewrite-percentage": 0}

ANSWER_TAKEN = "answers that the interface had Redis take, and did not get"
FRAME_TAKEN = "frames that a worker had Redis take, and did not get"
ANSWER_UNSENT = "answers that did not reach Redis"
FRAME_UNSENT = "frames that did not reach Redis"

_TEXT = re.compile(rb"[\xa0-\xbf]((\d+):(\d+)(:\d+:\d+)?)")  # a short string in MessagePack


def places(lost: list[tuple[int, int]], begun: Counter[str], directory: Path) -> Counter[str]:
    """
    Returns how many of the lost frames were lost where.

    ``begun`` counts the frames that consumers have begun with, ``directory`` is that of the Redis server.
    """
    frames: set[str] = set()
    answers: set[str] = set()
    for path in directory.glob("appendonlydir/*.aof"):
        for found in _TEXT.finditer(path.read_bytes()):
            frame = f"{found[2].decode()}:{found[3].decode()}"
            (answers if found[4] else frames).add(frame)
    return Counter(_place(f"{socket}:{number}", frames, begun, answers) for socket, number in lost)


def _place(frame: str, frames: set[str], begun: Counter[str], answers: set[str]) -> str:
    if frame in answers:
        return ANSWER_TAKEN
    if begun[frame]:
        return ANSWER_UNSENT
    if frame in frames:
        return FRAME_TAKEN
    return FRAME_UNSENT
