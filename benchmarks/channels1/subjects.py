"""The subjects: a layer, how daphne reads it, and the worker."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..environments import REQUIREMENTS

_PINNED = Path(__file__).parent.parent.parent / "tests" / "channels1" / "requirements.txt"
_LINES = [line for line in _PINNED.read_text().splitlines() if line and not line.startswith("#")]
# Later releases of autobahn bring a msgpack that asgi_redis 1.4.3 cannot use; it is the same for both.
_STACK = (*(one for one in _LINES if not one.startswith(("pytest", "hiredis", "autobahn"))), "autobahn==23.6.2")
OURS, BEFORE = "channels1_ours", "channels1_before"
REQUIREMENTS[OURS] = (*_STACK, "redis", "msgpack", "hiredis")
REQUIREMENTS[BEFORE] = (*_STACK, "asgi_redis==1.4.3", "redis==2.10.6", "msgpack-python==0.5.6", "txredisapi")


class Subject(NamedTuple):
    """``daphne`` are its options; ``our_worker``: ``runworker`` is that of ``workers``."""

    key: str
    title: str
    environment: str
    daphne: tuple[str, ...] = ()
    our_worker: bool = False


SUBJECTS = [
    Subject("ours", "asgi_redis 2\nTwisted", OURS),
    Subject("ours_worker", "asgi_redis 2\nTwisted, our worker", OURS, our_worker=True),
    Subject("ours_busy", "asgi_redis 2\nbusy loop", OURS, ("--force-sync",)),
    Subject("before_twisted", "asgi_redis 1.4.3\nTwisted", BEFORE),
    Subject("before_busy", "asgi_redis 1.4.3\nbusy loop", BEFORE, ("--force-sync",)),
]
