"""The descriptor by which an event loop watches a connection."""

from __future__ import annotations

import gc
import os

import pytest

from asgi_redis.aio.duplicate import Duplicate


def test_it_is_closed_with_the_last_reference():
    read_end, write_end = os.pipe()
    Duplicate(read_end)
    gc.collect()
    os.close(read_end)
    with pytest.raises(BrokenPipeError):  # not where another descriptor of the other end is open
        os.write(write_end, b"1")
    os.close(write_end)


def test_it_raises_where_there_can_be_none_and_leaves_nothing_to_close():
    with pytest.raises(OSError, match="Bad file descriptor"):
        Duplicate(-1)
    gc.collect()
