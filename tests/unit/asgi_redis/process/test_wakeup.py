"""The pipe that wakes whoever waits."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

from asgi_redis.process.wakeup import WakeupPipe
from tests.support.threads import in_threads


class TestWakeupPipe:
    def readable(self, pipe):
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        return bool(poll.poll(0))

    def test_it_can_be_read_once_woken_and_not_once_cleared(self):
        pipe = WakeupPipe()
        assert not self.readable(pipe)
        pipe.wake()
        pipe.wake()
        assert self.readable(pipe)
        pipe.clear()
        assert not self.readable(pipe)
        pipe.clear()
        pipe.wake()
        assert self.readable(pipe)

    def test_however_often_it_is_woken_it_never_blocks(self):
        pipe = WakeupPipe()
        for _ in range(100_000):
            pipe.wake()
        assert self.readable(pipe)

    def test_wakes_from_many_threads_are_never_left_behind_for_ever(self):
        pipe = WakeupPipe()
        for _ in range(50):
            in_threads(lambda _: pipe.wake(), range(4))
            pipe.clear()
            assert not self.readable(pipe)

    @pytest.mark.native("gevent keeps what it has waited on for a while")
    def test_its_pipe_goes_with_it(self):
        pipe = WakeupPipe()
        descriptor = pipe.fileno()
        os.fstat(descriptor)
        del pipe
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    @pytest.mark.native("limits of the process")
    def test_one_that_could_not_be_made_goes_in_silence(self):
        program = """
import os, resource
from asgi_redis.process.wakeup import WakeupPipe
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    WakeupPipe()
except OSError as error:
    assert error.errno == 24, error
"""
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
        assert (ended.returncode, ended.stderr) == (0, "")

    @pytest.mark.native("forks")
    def test_a_forked_process_has_a_pipe_of_its_own_under_the_same_number(self):
        pipe = WakeupPipe()
        pid = os.fork()
        if not pid:
            pipe.wake()
            os._exit(0 if self.readable(pipe) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert not self.readable(pipe)
