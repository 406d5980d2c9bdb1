"""Waiting for messages: whoever waits is woken, and nobody else; whatever is killed."""

from __future__ import annotations

import os
import signal
import threading
import time

from asgi_redis.stores.lmdb import mailbox
from asgi_redis.stores.lmdb.records import STATE, queue_key
from asgi_redis.stores.lmdb.store import LMDBStore
from tests.stores.lmdb_stores import another_user_of, pop, push, readable, run


def mailboxes_of(store, queue="a"):
    value = store.transact(lambda environment, txn: txn.get(queue_key(queue)))
    return mailbox.split(value[STATE.size :]) if value else []


def test_a_message_wakes_all_that_wait_for_its_queue_and_nobody_else(store):
    with store.listen(["a", "b"]) as one, store.listen(["a"]) as two, store.listen(["b"]) as other:
        assert not any(map(readable, (one, two, other)))
        push(store, b"1")
        assert [readable(one), readable(two), readable(other)] == [True, True, False]


def test_it_is_woken_again_after_clear(store):
    with store.listen(["a"]) as listener:
        for number in range(3):
            push(store, b"%d" % number)
            assert readable(listener)
            listener.clear()
            assert not readable(listener)


def test_the_message_after_a_refused_one_wakes(store):
    with store.listen(["a"]) as listener:
        push(store, b"1", capacity=1)
        listener.clear()
        push(store, b"2", capacity=1)
        listener.clear()
        assert pop(store) == [b"1"]
        push(store, b"3", capacity=1)
        assert readable(listener)


def test_wake_makes_it_readable_once(store):
    with store.listen(["a"]) as listener:
        listener.wake()
        listener.wake()
        assert readable(listener)
        listener.clear()
        assert not readable(listener)
    listener.wake()  # too late: nobody waits, nothing happens


def test_wake_after_everything_is_closed_does_nothing(store):
    with store.listen(["a"]) as listener:
        pass
    store.close()
    listener.wake()


def test_a_thread_that_waits_is_woken_at_once(store):
    """Generous: an idle machine does it in some 30 µs."""
    took = []

    def wait():
        with store.listen(["a"]) as listener:
            waiting.set()
            assert readable(listener, timeout=10)
            took.append(time.perf_counter() - sent[0])

    for _ in range(5):
        waiting, sent = threading.Event(), [0.0]
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        sent[0] = time.perf_counter()
        push(store, b"x")
        thread.join()
    assert min(took) < 0.02


def test_another_process_is_woken(store, directory):
    process = run(
        "import sys, pathlib, select\n"
        "from asgi_redis.stores.lmdb.store import LMDBStore\n"
        "store = LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)\n"
        "with store.listen(['a', 'b']) as listener:\n"
        "    print('ready', flush=True)\n"
        "    assert select.select([listener.fileno()], [], [], 10)[0]\n"
        "    print(store.pop(['a', 'b'], 1, 60)[0][1].message)",
        directory,
        wait=False,
    )
    process.stdout.readline()
    push(store, b"for you", queue="b")
    assert process.communicate(timeout=20)[0] == "b'for you'\n"


def test_one_that_did_not_read_its_datagrams_stays_registered(store):
    """Its buffer is full: it is awake, and what comes after that must wake it again."""
    queues = [f"q{number}" for number in range(2000)]
    with store.listen(queues) as listener:
        for queue in queues:
            push(store, b"x", queue=queue)
        assert readable(listener)
        assert len(pop(store, *queues, limit=5000)) == 2000
        listener.clear()
        assert not readable(listener)
        for queue in ("q0", "q1999"):
            push(store, b"x", queue=queue)
            assert readable(listener)
            listener.clear()


def test_mailboxes_are_used_again_and_registered_once(store, directory):
    for _ in range(3):
        with store.listen(["a"]):
            assert len(mailboxes_of(store)) == 1
    assert len(list(directory.glob("*-*"))) == 1


def test_registrations_that_nobody_needs_are_given_up(store):
    """Somebody who waits for another channel each time is not left behind in all of them."""
    for number in range(300):
        with store.listen([f"reply{number}"]):
            pass
    assert sum(len(mailboxes_of(store, f"reply{number}")) for number in range(300)) < 100


def test_a_killed_receiver_is_forgotten(store, directory):
    process = run(
        "import sys, pathlib\n"
        "from asgi_redis.stores.lmdb.store import LMDBStore\n"
        "store = LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)\n"
        "listener = store.listen(['a'])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()",
        directory,
        wait=False,
    )
    process.stdout.readline()
    assert len(mailboxes_of(store)) == 1
    process.kill()
    process.communicate()
    with store.listen(["a"]) as listener:
        push(store, b"1")
        assert readable(listener)
    assert mailboxes_of(store) == []
    mailbox.sweep(directory)
    assert [path.name.partition("-")[0] for path in directory.glob("*-*")] == [str(os.getpid())]


def test_a_sender_that_is_killed_before_the_commit_leaves_the_receiver_registered(store, directory):
    process = run(
        "import os, signal, sys, pathlib\n"
        "from asgi_redis.stores.lmdb import store as stores\n"
        "from asgi_redis.stores.lmdb.mailbox import Mailboxes\n"
        "wake = Mailboxes.wake\n"
        "def wake_and_die(*arguments):\n"
        "    wake(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Mailboxes.wake = wake_and_die\n"
        "store = stores.LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)\n"
        "sys.stdin.readline()\n"
        "store.push([('a', 'a', b'never', 10)], 60)",
        directory,
        wait=False,
    )
    with store.listen(["a"]) as listener:
        process.communicate(timeout=20)
        assert process.returncode == -signal.SIGKILL
        assert readable(listener)
        listener.clear()
        assert pop(store) == []
        push(store, b"1")
        assert readable(listener)


def test_a_child_leaves_the_mailboxes_of_its_parent_alone(store):
    with store.listen(["a"]) as listener:
        pid = os.fork()
        if not pid:
            with store.listen(["a"]):
                pass
            store.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        push(store, b"1")
        assert readable(listener)


def test_a_child_does_not_hold_open_what_its_parent_waits_with(store):
    """The parent may be killed: messages to its mailbox must not pile up in the child."""
    with store.listen(["a"]) as listener:
        pid = os.fork()
        if not pid:
            os._exit(listener.fileno() != -1)
        assert os.waitpid(pid, 0)[1] == 0
        push(store, b"1")
        assert readable(listener)


def test_flush_leaves_those_who_wait_registered(store):
    with store.listen(["a"]) as listener:
        store.flush()
        push(store, b"1")
        assert readable(listener)


def test_one_who_waits_finds_the_store_that_was_made_after_its_own_was_removed(store, directory):
    from asgi_redis.stores.lmdb import directory as places

    with store.listen(["a"]) as listener, another_user_of(directory):
        with places.locked(directory):
            places.remove(directory)
        assert readable(listener)
        listener.clear()
        other = LMDBStore(directory, 1 << 20)
        push(other, b"1")
        assert readable(listener)
        assert pop(store) == [b"1"]
        other.close()
