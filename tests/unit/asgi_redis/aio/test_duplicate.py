"""The descriptor by which an event loop watches a connection."""

from __future__ import annotations

import gc
import os

import pytest

from asgi_redis.aio.duplicate import Duplicate


def test_it_is_closed_with_the_last_reference():
    read_end, write_end = os.pipe()
    number = Duplicate(read_end).fileno()
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    for end in read_end, write_end:
        os.close(end)


def test_it_raises_where_there_can_be_none_and_leaves_nothing_to_close():
    with pytest.raises(OSError, match="Bad file descriptor"):
        Duplicate(-1)
    gc.collect()
