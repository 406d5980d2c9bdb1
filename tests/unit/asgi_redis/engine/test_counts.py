"""The counts of a process, before they are written."""

from __future__ import annotations

import ctypes
import os
import threading

import pytest

from asgi_redis.engine import counts
from asgi_redis.engine.counts import Counts
from tests.support.waiting import eventually


class Written:
    """Collects what was written; refuses while ``away``."""

    def __init__(self):
        self.writes = []
        self.away = False

    def __call__(self, found):
        if self.away:
            return found
        self.writes.append(found)
        return {}


@pytest.fixture
def written():
    return Written()


@pytest.fixture
def adding(written, monkeypatch):
    monkeypatch.setattr(counts, "WRITE_SECONDS", 0.05)
    return Counts(written)


def test_they_are_added_up_by_queue(adding, written):
    adding.add("a", "messages_expired", 2)
    adding.add("a", "messages_expired")
    adding.add("a", "messages_retried")
    adding.add("p!x", "messages_undecodable")
    adding.add("p!y", "messages_undecodable")
    assert written.writes == []
    adding.flush()
    assert written.writes == [
        {"a": {"messages_expired": 3, "messages_retried": 1}, "p!": {"messages_undecodable": 2}}
    ]


def test_nothing_is_written_where_there_is_nothing(adding, written, monkeypatch):
    started = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    adding.write_soon()
    adding.flush()
    assert written.writes == started == []


def test_those_of_a_moment_are_written_together_by_a_thread(adding, written):
    for _ in range(10):
        adding.add("a", "messages_expired")
        adding.write_soon()
    assert written.writes == []
    eventually(lambda: written.writes)
    assert written.writes == [{"a": {"messages_expired": 10}}]
    adding.add("a", "messages_expired")
    adding.write_soon()
    eventually(lambda: len(written.writes) == 2)


def test_they_wait_for_a_server_that_is_away(adding, written):
    written.away = True
    for _ in range(3):
        adding.add("a", "messages_expired")
        adding.flush()
    written.away = False
    adding.add("b", "messages_expired")
    adding.flush()
    assert written.writes == [{"a": {"messages_expired": 3}, "b": {"messages_expired": 1}}]


def test_more_queues_than_the_memory_is_for_are_counted_together(adding, written, monkeypatch):
    monkeypatch.setattr(counts, "_QUEUES", 2)
    for name in ("a", "b", "c", "d", "a"):
        adding.add(name, "messages_expired")
    adding.add(None, "messages_undecodable")
    adding.flush()
    assert written.writes == [
        {
            "a": {"messages_expired": 2},
            "b": {"messages_expired": 1},
            counts.OTHER_QUEUES: {"messages_expired": 2, "messages_undecodable": 1},
        }
    ]


def test_a_process_that_can_start_no_thread_writes_with_the_next_flush(adding, written, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    adding.add("a", "messages_expired")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        adding.write_soon()
    assert written.writes == []
    adding.write_soon()
    eventually(lambda: written.writes)


def test_an_interruption_of_the_start_of_a_thread_is_not_the_last_attempt(adding, written, monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    adding.add("a", "messages_expired")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            adding.write_soon()
    adding.write_soon()
    eventually(lambda: written.writes)


def test_a_flush_waits_for_the_write_of_another_thread(written):
    began, go_on = threading.Event(), threading.Event()

    def write(found):
        began.set()
        go_on.wait(10)
        return written(found)

    adding = Counts(write)
    adding.add("a", "messages_expired")
    thread = threading.Thread(target=adding.flush)
    thread.start()
    began.wait(10)
    flushing = threading.Thread(target=lambda: (adding.flush(), written.writes.append("flushed")))
    flushing.start()
    go_on.set()
    for one in (thread, flushing):
        one.join(10)
    assert written.writes == [{"a": {"messages_expired": 1}}, "flushed"]


def test_many_threads_lose_none(adding):
    total = []
    adding = Counts(lambda found: total.append(found["a"]["messages_expired"]) or {})

    def count():
        for _ in range(1000):
            adding.add("a", "messages_expired")
            adding.flush()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    adding.flush()
    assert sum(total) == 4000


@pytest.mark.native("forks")
@pytest.mark.parametrize("fork_once", [os.fork, ctypes.PyDLL(None).fork])  # the second as uWSGI does it
def test_a_forked_process_leaves_them_to_its_parent(adding, written, fork_once):
    adding.add("a", "messages_expired")
    adding.write_soon()
    pid = fork_once()
    if not pid:
        adding.add("a", "messages_retried")
        adding.write_soon()
        eventually(lambda: written.writes)
        os._exit(0 if written.writes == [{"a": {"messages_retried": 1}}] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    eventually(lambda: written.writes)
    assert written.writes == [{"a": {"messages_expired": 1}}]
