"""A message wakes one waiting receiver, and is never left lying, whichever process is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time

from asgi_redis.engine.stores.lmdb import waiters, wakeup_sockets
from asgi_redis.engine.stores.lmdb.records import ADDRESS, STATE, queue_key
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.engine.stores.store import Counters
from tests.support.stores.lmdb_stores import another_user_of, look, pop, push, readable, run, waiting


def addresses_of(store, queue="a"):
    value = store.transact(lambda environment, txn, now: txn.get(queue_key(queue)))
    return waiters.split(value[STATE.size :]) if value else []


def records(store):
    return store.transact(lambda environment, txn, now: waiters.records(txn))


# In another process: prints "ready" once it waits, and then the messages of the queues.
RECEIVER = """
import pathlib, select, sys
from asgi_redis.engine.stores.lmdb.store import LMDBStore
store = LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)
queues = sys.argv[2:]
with store.listen(queues) as listener:
    assert not listener.pop(queues, 1, 60)
    print("ready", flush=True)
    assert select.select([listener.fileno()], [], [], 20)[0]
    DIE
    print(listener.pop(queues, 1, 60)[0][2].decode())
"""


def receiver(directory, *queues, dies=False):
    program = RECEIVER.replace("DIE", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)" if dies else "pass")
    process = run(program, directory, *queues, wait=False)
    assert process.stdout.readline() == "ready\n"
    return process


class TestWaking:
    def test_a_message_wakes_one_receiver_that_waits_for_its_queue(self, store):
        with waiting(store, "a", "b") as one, waiting(store, "a") as two, waiting(store, "b") as other:
            push(store, b"1")
            assert [readable(one), readable(two), readable(other)] == [True, False, False]
            push(store, b"2")
            assert [readable(two), readable(other)] == [True, False]

    def test_they_take_turns(self, store):
        with waiting(store) as one, waiting(store) as two, waiting(store) as three:
            woken = []
            for number in range(6):
                push(store, b"%d" % number)
                (name, listener), *others = [
                    (name, listener) for name, listener in enumerate((one, two, three)) if readable(listener)
                ]
                assert not others
                assert look(listener) == [b"%d" % number]
                assert look(listener) == []
                woken.append(name)
            assert woken == [0, 1, 2] * 2

    def test_it_is_woken_again_after_it_has_looked(self, store):
        with waiting(store) as listener:
            for number in range(3):
                push(store, b"%d" % number)
                assert readable(listener)
                assert look(listener) == [b"%d" % number]
                assert look(listener) == []
                assert not readable(listener)

    def test_it_is_woken_again_after_it_was_woken_for_a_message_that_another_has_taken(self, store):
        with waiting(store) as listener:
            push(store, b"1")
            assert pop(store) == [b"1"]
            assert look(listener) == []
            push(store, b"2")
            assert readable(listener)

    def test_the_readers_of_a_single_reader_channel_are_woken_by_one_message_each(self, store):
        with waiting(store, "r?1") as one, waiting(store, "r?1") as two:
            push(store, b"1", queue="r?1")
            assert look(one, "r?1") == [b"1"]
            push(store, b"2", queue="r?1")
            assert readable(two)

    def test_those_that_wait_stay_registered_where_messages_have_expired(self, store, clock):
        with waiting(store) as one, waiting(store) as two:
            push(store, b"old")
            clock.now += 61
            assert look(one) == []
            push(store, b"new")
            assert readable(two)

    def test_a_refused_message_wakes_no_receiver_and_the_next_message_does(self, store):
        push(store, b"1", capacity=1)
        with waiting(store, "b") as other, waiting(store, "c"):
            push(store, b"2", capacity=1)
            assert not readable(other)
        assert pop(store) == [b"1"]
        with waiting(store) as listener:
            push(store, b"3", capacity=1)
            assert readable(listener)

    def test_a_woken_receiver_is_not_woken_for_another_message_while_others_sleep(self, store):
        with waiting(store, "a", "b") as both, waiting(store, "b") as other:
            push(store, b"1")
            push(store, b"2", queue="b")
            assert [readable(both), readable(other)] == [True, True]

    def test_a_receiver_that_takes_another_message_than_it_was_woken_for_wakes_the_next(self, store):
        with waiting(store, "b", "a") as both, waiting(store, "a") as other:
            push(store, b"1")
            push(store, b"2", queue="b")
            assert not readable(other)
            assert [message for _, _, message in both.pop(["b", "a"], 1, 60)] == [b"2"]
            assert readable(other)
            assert look(other) == [b"1"]

    def test_of_many_messages_each_wakes_one_and_no_more(self, store):
        with contextlib.ExitStack() as stack:
            listeners = [stack.enter_context(waiting(store)) for _ in range(6)]
            push(store, b"1", b"2", b"3")
            for listener in listeners[:3]:
                assert [message for _, _, message in listener.pop(["a"], 1, 60)]
            assert [readable(listener) for listener in listeners[3:]] == [False] * 3

    def test_a_receiver_that_gives_up_instead_of_taking_the_message_wakes_the_next(self, store):
        with contextlib.ExitStack() as stack:
            one = stack.enter_context(waiting(store))
            with waiting(store) as other:
                push(store, b"1")
                assert [readable(one), readable(other)] == [True, False]
                stack.close()
                assert readable(other)
                assert look(other) == [b"1"]

    def test_a_receiver_that_gives_up_after_the_message_was_taken_wakes_no_other(self, store):
        with contextlib.ExitStack() as stack:
            stack.enter_context(waiting(store))
            with waiting(store) as other:
                push(store, b"1")
                assert pop(store) == [b"1"]
                stack.close()
                assert not readable(other)

    def test_receivers_that_have_stopped_waiting_are_not_woken(self, store):
        with waiting(store):
            pass
        with waiting(store) as taker:
            push(store, b"1")
            assert look(taker) == [b"1"]
        with waiting(store) as listener:
            push(store, b"2")
            assert readable(listener)

    def test_each_of_many_messages_of_one_step_wakes_one(self, store):
        with waiting(store) as one, waiting(store) as two, waiting(store) as three:
            push(store, b"1", b"2")
            assert [readable(listener) for listener in (one, two, three)] == [True, True, False]

    def test_unread_datagrams_of_others_cost_no_wake_up(self, store, monkeypatch):
        """The kernel bounds the unread datagrams of a socket: here to a few."""
        make = wakeup_sockets._socket

        def small():
            made = make()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            return made

        monkeypatch.setattr(wakeup_sockets, "_socket", small)
        with contextlib.ExitStack() as stack:
            for number in range(30):
                stack.enter_context(waiting(store, f"busy{number}"))
                push(store, b"x", queue=f"busy{number}")
            listener = stack.enter_context(waiting(store))
            push(store, b"1")
            assert readable(listener)

    def test_a_sender_that_is_full_and_cannot_be_replaced_wakes_others_later(self, store, monkeypatch, caplog):
        make = wakeup_sockets._socket

        def small():
            made = make()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            return made

        def fail():
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(wakeup_sockets, "_socket", small)
        with contextlib.ExitStack() as stack:
            listeners = [stack.enter_context(waiting(store, f"q{number}")) for number in range(30)]
            with monkeypatch.context() as patch:
                patch.setattr(wakeup_sockets, "_socket", fail)
                for number in range(30):
                    assert push(store, b"x", queue=f"q{number}") == [True]
            assert "wakes no receiver, which looks later: [Errno 24] Too many open files" in caplog.text
            assert "Bad file descriptor" not in caplog.text
            for number, listener in enumerate(listeners):
                assert look(listener, f"q{number}") == [b"x"]
                assert look(listener, f"q{number}") == []
            push(store, b"y", queue="q0")
            assert readable(listeners[0])

    def test_wake_makes_it_readable_once(self, store):
        with waiting(store) as listener:
            for _ in range(1000):
                listener.wake()
            assert readable(listener)
            assert look(listener) == []
            assert not readable(listener)
        listener.wake()  # too late: no receiver waits, and nothing happens

    def test_a_receiver_that_is_awake_already_is_not_lost(self, store):
        """So often that its socket is full."""
        with waiting(store) as listener:
            for _ in range(1000):
                listener.wake()
            push(store, b"1")
            assert readable(listener)
            assert look(listener) == [b"1"]

    def test_wake_after_everything_is_closed_does_nothing(self, store):
        with waiting(store) as listener:
            pass
        store.close()
        listener.wake()

    def test_a_thread_that_waits_is_woken_at_once(self, store):
        """Generous: an idle machine does it in some 30 µs. Without being woken it would look once a second."""
        took = []

        def wait():
            with waiting(store) as listener:
                waits.set()
                assert readable(listener, timeout=10)
                took.append(time.perf_counter() - sent[0])
                look(listener)

        for _ in range(5):
            waits, sent = threading.Event(), [0.0]
            thread = threading.Thread(target=wait)
            thread.start()
            waits.wait()
            sent[0] = time.perf_counter()
            push(store, b"x")
            thread.join()
        assert min(took) < 0.5

    def test_another_process_is_woken(self, store, directory):
        process = receiver(directory, "a", "b")
        push(store, b"for you", queue="b")
        assert process.communicate(timeout=20)[0] == "for you\n"


class TestKilled:
    def test_the_next_one_is_woken_instead_of_a_killed_receiver(self, store, directory):
        process = receiver(directory, "a")
        process.kill()
        process.communicate()
        with waiting(store) as listener:
            push(store, b"1")
            assert readable(listener)
            assert look(listener) == [b"1"]
        assert records(store) == []
        wakeup_sockets.sweep(directory)
        assert [path.name.partition("-")[0] for path in directory.glob("*-*")] == [str(os.getpid())]

    def test_a_receiver_that_is_killed_on_its_way_to_a_message_leaves_it_to_the_others(self, store, directory):
        process = receiver(directory, "a", dies=True)
        took = []

        def wait():
            with waiting(store) as listener:
                push(store, b"1")
                process.communicate(timeout=20)
                began = time.monotonic()
                assert not readable(listener, listener.look_seconds)
                assert look(listener) == [b"1"]
                took.append(time.monotonic() - began)

        wait()
        assert process.returncode == -signal.SIGKILL
        assert took[0] < 5

    def test_what_a_killed_receiver_leaves_behind_is_swept(self, store, directory, clock, eventually):
        process = receiver(directory, *(f"own{number}!" for number in range(50)))
        process.kill()
        process.communicate()
        assert len(records(store)) == 1

        def gone():
            clock.now += 1
            push(store, b"x", queue="live", capacity=1)
            return not records(store) and len(store.transact(lambda _, txn, now: list(txn.cursor()))) < 10

        eventually(gone)

    def test_a_sender_that_is_killed_before_it_wakes_a_receiver_leaves_the_message(self, store, directory):
        """The receiver finds it when it looks by itself."""
        process = run(
            "import os, signal, sys, pathlib\n"
            "from asgi_redis.engine.stores.lmdb import store as stores\n"
            "from asgi_redis.engine.stores.lmdb.wakeup_sockets import WakeupSockets\n"
            "WakeupSockets.wake = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "store = stores.LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)\n"
            "sys.stdin.readline()\n"
            "store.push([('a', 'a', b'1', 10)], 60)",
            directory,
            wait=False,
        )
        with waiting(store) as listener:
            process.communicate(timeout=20)
            assert process.returncode == -signal.SIGKILL
            assert not readable(listener)
            assert look(listener) == [b"1"]
        with waiting(store) as listener:
            push(store, b"2")
            assert readable(listener)

    def test_in_place_of_many_killed_receivers_the_next_one_is_woken(self, store, directory):
        """One message is enough, also where they are more than calls may be nested."""
        for number in range(sys.getrecursionlimit() + 10):
            address = ADDRESS.pack(2**22 + 1, number)
            store.transact(lambda _, txn, now, address=address: waiters.start(txn, address, ["a"]))
        with waiting(store) as listener:
            push(store, b"1")
            assert readable(listener)
            assert look(listener) == [b"1"]
        assert records(store) == []

    def test_those_that_an_interrupted_sender_has_not_woken_are_woken_with_its_next_step(self, store, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        with waiting(store) as one, waiting(store) as two:
            with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
                patch.setattr(wakeup_sockets.WakeupSockets, "wake", interrupt)
                push(store, b"1", b"2")
            assert [readable(one), readable(two)] == [False, False]
            store.contents()
            assert readable(two)

    def test_a_child_of_a_sender_that_has_sent_leaves_waking_to_it(self, store, monkeypatch, caplog):
        """A signal handler may fork between the two."""
        wake_chosen, pids = wakeup_sockets.WakeupSockets.wake_chosen, []

        def fork_first(sockets):
            pids.append(os.fork())
            wake_chosen(sockets)

        monkeypatch.setattr(wakeup_sockets.WakeupSockets, "wake_chosen", fork_first)
        with waiting(store) as listener:
            assert push(store, b"1") == [True]
            if not pids[0]:
                os._exit(bool(caplog.records))
            assert os.waitpid(pids[0], 0)[1] == 0
            assert readable(listener)
            assert look(listener) == [b"1"]

    def test_an_error_in_waking_the_next_does_not_fail_a_message_that_was_sent(
        self, store, clock, monkeypatch, caplog
    ):
        def fail(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        push(store, b"0", queue="b")  # this one sweeps
        store.transact(lambda _, txn, now: waiters.start(txn, ADDRESS.pack(2**22 + 1, 1), ["a"]))
        monkeypatch.setattr(waiters, "replace", fail)
        assert push(store, b"1") == [True]
        assert "wakes no other receiver: [Errno 28] No space left on device" in caplog.text
        assert pop(store) == [b"1"]

    def test_an_error_of_the_socket_does_not_fail_a_message_that_was_sent(self, store, monkeypatch, caplog):
        def fail(*_):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        with waiting(store) as listener:
            with monkeypatch.context() as patch:
                patch.setattr(wakeup_sockets.WakeupSockets, "wake", fail)
                push(store, b"1")
            assert "wakes no receiver, which looks later: [Errno 12] Cannot allocate memory" in caplog.text
            assert look(listener) == [b"1"]


class TestWakeupSockets:
    def test_they_are_used_again_and_registered_once(self, store, directory):
        for _ in range(3):
            with waiting(store):
                assert len(addresses_of(store)) == 1
        assert len(list(directory.glob("*-*"))) == 1

    def test_a_receiver_of_another_single_reader_channel_each_time_leaves_nothing_behind(self, store):
        empty = len(store.transact(lambda _, txn, now: list(txn.cursor())))
        for number in range(100):
            with waiting(store, f"reply?{number}") as listener:
                if number % 2:
                    push(store, b"x", queue=f"reply?{number}")
                    assert readable(listener)
                    assert look(listener, f"reply?{number}") == [b"x"]
        assert len(store.transact(lambda _, txn, now: list(txn.cursor()))) == empty + 1  # the counters of all
        assert store.global_statistics() == Counters(50)

    def test_an_error_at_the_end_of_a_wait_costs_nothing_that_was_received(self, store, monkeypatch, caplog):
        """From Redis, for one, by a layer that waits for both."""

        def fail(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch, waiting(store):
            patch.setattr(store, "transact", fail)
        assert "cannot be left: [Errno 28] No space left on device" in caplog.text

    def test_a_child_leaves_those_of_its_parent_alone(self, store):
        with waiting(store) as listener:
            pid = os.fork()
            if not pid:
                with waiting(store):
                    pass
                store.close()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            push(store, b"1")
            assert readable(listener)

    def test_a_child_does_not_hold_open_what_its_parent_waits_with(self, store):
        """The parent may be killed: datagrams to its socket must not pile up in the child."""
        with waiting(store) as listener:
            pid = os.fork()
            if not pid:
                os._exit(listener.fileno() != -1)
            assert os.waitpid(pid, 0)[1] == 0
            push(store, b"1")
            assert readable(listener)

    def test_flush_leaves_waiting_receivers_registered(self, store):
        with waiting(store) as listener:
            store.flush()
            push(store, b"1")
            assert readable(listener)

    def test_a_waiting_receiver_finds_the_store_that_replaces_a_removed_one(self, store, directory):
        from asgi_redis.engine.stores.lmdb import directory as places

        with waiting(store) as listener, another_user_of(directory):
            with places.locked(directory):
                places.remove(directory)
            assert readable(listener)
            assert look(listener) == []
            other = LMDBStore(directory, 1 << 20)
            push(other, b"1")
            assert readable(listener)
            assert look(listener) == [b"1"]
            other.close()
