"""``LazyAttribute``: made once, at the first use, without a lock."""

from __future__ import annotations

import os
import threading

import pytest

from asgi_redis.process.lazy import LazyAttribute


class Layer:
    def __init__(self):
        self.made = 0
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    @LazyAttribute
    def part(self):
        """A part."""
        self.made += 1
        self.entered.set()
        self.may_go_on.wait(20)
        return [self.made]


def test_it_is_made_once_at_the_first_use():
    layer = Layer()
    assert layer.made == 0
    assert layer.part is layer.part
    assert layer.made == 1
    assert Layer.part.__doc__ == "A part."


def test_it_may_be_set():
    layer = Layer()
    layer.part = "another"
    assert layer.part == "another"
    assert layer.made == 0


def test_threads_that_make_it_at_the_same_time_get_the_same():
    layer, found = Layer(), []
    layer.may_go_on.clear()
    threads = [threading.Thread(target=lambda: found.append(layer.part)) for _ in range(2)]
    threads[0].start()
    assert layer.entered.wait(20)
    layer.entered.clear()
    threads[1].start()
    assert layer.entered.wait(20)
    layer.may_go_on.set()
    for thread in threads:
        thread.join()
    assert layer.made == 2
    assert found[0] is found[1] is layer.part


@pytest.mark.native("another thread is there at the fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_a_thread_makes_it_leaves_the_child_free():
    layer = Layer()
    layer.may_go_on.clear()
    thread = threading.Thread(target=lambda: layer.part)
    thread.start()
    assert layer.entered.wait(20)
    child = os.fork()
    if not child:
        layer.may_go_on.set()
        os._exit(0 if layer.part else 1)
    layer.may_go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
