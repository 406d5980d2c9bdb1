"""The pipe that wakes whoever waits."""

from __future__ import annotations

import os
import select

import pytest

from asgi_redis.connection import Waiter
from tests.threads import in_threads


class TestWaiter:
    def readable(self, waiter):
        poll = select.poll()
        poll.register(waiter, select.POLLIN)
        return bool(poll.poll(0))

    def test_it_can_be_read_once_woken_and_not_once_cleared(self):
        waiter = Waiter()
        assert not self.readable(waiter)
        waiter.wake()
        waiter.wake()
        assert self.readable(waiter)
        waiter.clear()
        assert not self.readable(waiter)
        waiter.clear()
        waiter.wake()
        assert self.readable(waiter)

    def test_however_often_it_is_woken_it_never_blocks(self):
        waiter = Waiter()
        for _ in range(100_000):
            waiter.wake()
        assert self.readable(waiter)

    def test_wakes_from_many_threads_are_never_left_behind_for_ever(self):
        waiter = Waiter()
        for _ in range(50):
            in_threads(lambda _: waiter.wake(), range(4))
            waiter.clear()
            assert not self.readable(waiter)

    @pytest.mark.native("gevent keeps what it has waited on for a while")
    def test_its_pipe_goes_with_it(self):
        waiter = Waiter()
        descriptor = waiter.fileno()
        os.fstat(descriptor)
        del waiter
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
