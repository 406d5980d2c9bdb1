"""The one place that knows of forks."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref

import pytest

from asgi_redis.process import fork

pytestmark = pytest.mark.native("forks")

FORKS = [os.fork, ctypes.PyDLL(None).fork]  # the second as uWSGI does it: Python's hooks do not run


def in_child(fork_once, work):
    """Returns what ``work()`` returns in a forked process, as text."""
    reading, writing = os.pipe()
    pid = fork_once()
    if not pid:
        signal.alarm(20)
        try:
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        result = said.read()
    assert os.waitpid(pid, 0)[1] == 0
    return result


class Counting:
    def __init__(self):
        self.started = 0
        fork.register(self)

    def start_process(self):
        self.started += 1


@pytest.mark.parametrize("fork_once", FORKS)
def test_an_owner_is_renewed_once_in_a_forked_process_and_not_in_its_parent(fork_once):
    owner = Counting()

    def work():
        fork.check()
        fork.check()
        return owner.started

    assert in_child(fork_once, work) == "1"
    fork.check()
    assert owner.started == 0


@pytest.mark.parametrize("fork_once", FORKS)
def test_a_grandchild_is_another_process_again(fork_once):
    owner = Counting()

    def work():
        fork.check()
        return in_child(fork_once, lambda: f"{fork.check() - generation} {owner.started}")

    generation = fork.check()
    assert in_child(fork_once, work) == "2 2"


@pytest.mark.parametrize("fork_once", FORKS)
def test_a_lock_that_a_thread_of_the_parent_holds_is_free_in_the_child(fork_once):
    own = fork.Own(threading.Lock)
    with own.value:
        assert in_child(fork_once, lambda: own.value.acquire(timeout=10)) == "True"
    assert own.value.acquire(timeout=0)


def test_threads_of_the_child_that_come_at_once_wait_until_all_is_renewed():
    class Slow(Counting):
        def start_process(self):
            started.wait(10)
            super().start_process()

    owner, started, seen = Slow(), threading.Event(), []

    def look():
        fork.check()
        seen.append(owner.started)

    def work():
        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.set()
        for thread in threads:
            thread.join(10)
        return seen

    assert in_child(FORKS[1], work) == "[1, 1, 1, 1]"


def test_what_could_not_be_renewed_is_tried_again_and_not_used_meanwhile():
    class Failing(Counting):
        def start_process(self):
            super().start_process()
            if self.started == 1:
                raise OSError("no more pipes")

    owner = Failing()

    def work():
        try:
            fork.check()
        except OSError as error:
            fork.check()
            return f"{error}, then {owner.started}"

    assert in_child(FORKS[1], work) == "no more pipes, then 2"


def test_an_owner_goes_when_nobody_else_has_it():
    owner = Counting()
    reference = weakref.ref(owner)
    del owner
    gc.collect()
    assert reference() is None


def test_where_the_kernel_wipes_no_page_the_number_of_the_process_tells():
    program = """
import mmap, os, sys
real = mmap.mmap
class Refusing(real):
    def madvise(self, *_):
        raise OSError("as an old kernel")
mmap.mmap = Refusing
from asgi_redis.process import fork
assert fork._page is None
class Owner:
    started = 0
    def start_process(self):
        self.started += 1
owner = Owner()
fork.register(owner)
import ctypes
pid = ctypes.PyDLL(None).fork()
if not pid:
    fork.check()
    os._exit(owner.started)
fork.check()
assert not owner.started
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
