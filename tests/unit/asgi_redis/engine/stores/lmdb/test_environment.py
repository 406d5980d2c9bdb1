"""The files of a store: private, of this format and boot, shared by processes of different settings."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import stat
import threading
import time
from pathlib import Path

import lmdb
import pytest

from asgi_redis.engine.stores.lmdb import directory as places
from asgi_redis.engine.stores.lmdb import lmdb_file, sharing
from asgi_redis.engine.stores.lmdb.directory import directory_for, prefix_of
from asgi_redis.engine.stores.lmdb.records import ABOUT_KEY, FORMAT
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.exceptions import ConfigurationError, UnusableStore
from tests.support.stores.lmdb_stores import another_user_of, pop, push, run

OTHER_FORMAT = f"of format {FORMAT + 1}, not {FORMAT}"


def about(directory, **changes):
    """Changes the record of a store's format."""
    with lmdb.open(str(directory), map_size=1 << 20) as environment, environment.begin(write=True) as txn:
        txn.put(ABOUT_KEY, json.dumps({**json.loads(txn.get(ABOUT_KEY)), **changes}).encode())


class TestPrivacy:
    def test_everything_is_private_to_the_user(self, store, base, directory):
        previous = os.umask(0)
        try:
            push(store, b"1")
            with store.listen(["a"]):
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
        finally:
            os.umask(previous)
        assert modes.pop("=store") == 0o700
        assert modes.pop("data.mdb") == modes.pop("lock.mdb") == 0o600
        assert len(modes) == 1  # a socket: no other user gets there

    def test_a_directory_that_others_may_enter_is_refused(self, store, directory):
        directory.mkdir(mode=0o755)
        with pytest.raises(UnusableStore, match=r"open to other users \(mode 755\)"):
            push(store, b"1")

    def test_a_link_is_refused(self, store, base, directory):
        (base / "elsewhere").mkdir(mode=0o700)
        directory.symlink_to(base / "elsewhere")
        with pytest.raises(UnusableStore, match="not a link"):
            push(store, b"1")

    def test_one_that_others_may_write_to_is_refused(self, store, base):
        base.chmod(0o777)
        with pytest.raises(UnusableStore, match="not be writable by others"):
            push(store, b"1")

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory to somebody else")
    def test_the_directory_of_another_user_is_refused(self, store, directory):
        directory.mkdir(mode=0o700)
        os.chown(directory, 12345, -1)
        with pytest.raises(UnusableStore, match="belongs to user 12345, not to this one"):
            push(store, b"1")


class TestNames:
    @pytest.mark.parametrize("prefix", ["asgi", ".", "..", "a/b", "ä:b c", "=", "%2F"])
    def test_each_prefix_has_a_directory_of_its_own(self, base, prefix):
        directory = directory_for(prefix, base)
        assert directory.parent == base
        assert prefix_of(directory) == prefix

    @pytest.mark.parametrize("platform", ["linux", "darwin"])
    def test_no_two_prefixes_have_the_same_one(self, base, monkeypatch, platform):
        monkeypatch.setattr("sys.platform", platform)
        prefixes = ["a", "A", "%61", "%41", "a%", "ä", "Ä", "a\u0308", "a.", "a/", "a\\", "a\0", "=a", "a b", "a+b"]
        names = [directory_for(prefix, base).name for prefix in prefixes]
        assert len({name.lower() if platform == "darwin" else name for name in names}) == len(prefixes)
        assert [prefix_of(base / name) for name in names] == prefixes

    @pytest.mark.parametrize("prefix", ["", None, 3])
    def test_a_prefix_must_be_a_name(self, base, prefix):
        with pytest.raises(ConfigurationError, match="prefix"):
            directory_for(prefix, base)

    def test_a_path_that_is_too_long_for_sockets_is_refused_at_once(self, base):
        with pytest.raises(ConfigurationError, match="too long"):
            directory_for("x" * 100, base)


class TestLeftBehind:
    def test_messages_outlive_the_processes(self, store, directory):
        run(
            "import os, pathlib, signal, sys\n"
            "from asgi_redis.engine.stores.lmdb.store import LMDBStore\n"
            "store = LMDBStore(pathlib.Path(sys.argv[1]), 1 << 20)\n"
            "store.push([('a', 'a', b'left', 1)], 60)\n"
            "if os.fork() == 0:\n"
            "    store.push([('a', 'a', b'too', 2)], 60)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "os.wait()",
            directory,
        )
        assert pop(store) == [b"left", b"too"]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [({"format": FORMAT + 1}, OTHER_FORMAT), ({"boot": "another"}, "earlier start")],
    )
    def test_one_of_another_format_or_boot_is_made_anew(self, store, directory, caplog, changes, why):
        push(store, b"old")
        store.close()
        about(directory, **changes)
        assert pop(store) == []
        assert why in caplog.text
        push(store, b"new")
        assert pop(store) == [b"new"]

    def test_one_of_another_format_that_is_in_use_is_an_error(self, store, directory):
        push(store, b"old")
        store.close()
        with another_user_of(directory) as process:
            about(directory, format=FORMAT + 1)
            with pytest.raises(UnusableStore, match=f"{OTHER_FORMAT}; processes {process.pid} have it open"):
                push(store, b"new")
        push(store, b"new")
        assert pop(store) == [b"new"]

    @pytest.mark.parametrize("kept", [1, 4096, 8192, 40_000])
    def test_one_that_was_cut_off_is_made_anew(self, store, directory, caplog, kept):
        push(store, *[b"x" * 1500] * 100)
        store.close()
        os.truncate(directory / "data.mdb", kept)
        with pytest.raises(UnusableStore, match="cut off"):
            LMDBStore(directory, 1 << 20, repair=False).contents()
        assert pop(store) == []
        assert "starting with an empty one" in caplog.text
        assert push(store, b"new") == [True]

    @pytest.mark.parametrize("damage", [b"\0" * 8192, b"\xff" * 8192, b"rubbish " * 2048])
    def test_one_that_was_overwritten_is_made_anew(self, store, directory, caplog, damage):
        push(store, b"old")
        store.close()
        with (directory / "data.mdb").open("r+b") as file:
            file.write(damage)
        assert pop(store) == []
        assert push(store, b"new") == [True]

    def test_another_database_is_not_taken_for_a_store(self, store, directory, caplog):
        directory.mkdir(mode=0o700)
        with lmdb.open(str(directory)) as environment, environment.begin(write=True) as txn:
            txn.put(b"somebody's", b"data")
        assert pop(store) == []
        assert "not ours" in caplog.text

    def test_nothing_is_made_anew_without_repair(self, directory):
        store = LMDBStore(directory, 1 << 20)
        push(store, b"old")
        store.close()
        about(directory, format=FORMAT + 1)
        looking = LMDBStore(directory, 1 << 20, repair=False)
        with pytest.raises(UnusableStore, match=OTHER_FORMAT):
            looking.contents()
        assert json.loads(run_about(directory))["format"] == FORMAT + 1


def run_about(directory):
    with lmdb.open(str(directory), map_size=1 << 20) as environment, environment.begin() as txn:
        return txn.get(ABOUT_KEY)


class TestRemoval:
    def test_the_store_of_a_process_that_goes_on_is_made_anew(self, store, directory):
        push(store, b"old")
        with places.locked(directory):
            places.remove(directory)
        store.transact(lambda environment, txn, now: setattr(environment, "check_at", 0.0))  # a second later
        push(store, b"new")
        assert pop(store) == [b"new"]
        assert directory.exists()

    def test_the_processes_that_have_it_open_are_known(self, store, directory):
        assert lmdb_file.users(directory) == []
        with another_user_of(directory) as one, another_user_of(directory) as two:
            assert lmdb_file.users(directory) == sorted([one.pid, two.pid])
            assert lmdb_file.a_user(directory) in (one.pid, two.pid)
        assert lmdb_file.users(directory) == []
        assert lmdb_file.a_user(directory) is None


class TestSharing:
    def test_all_of_a_process_share_one_environment(self, store, directory):
        other = LMDBStore(directory, 1 << 20)
        push(store, b"1")
        assert pop(other) == [b"1"]
        store.close()
        push(other, b"2")
        assert pop(store) == [b"2"]
        other.close()
        store.close()
        assert not Path(f"/proc/{os.getpid()}/maps").read_text().count(str(directory))

    def test_one_that_is_forgotten_is_closed_by_the_next(self, directory, base):
        push(LMDBStore(directory, 1 << 20), b"1")
        other = LMDBStore(base / "=other", 1 << 20)
        push(other, b"1")
        assert not Path(f"/proc/{os.getpid()}/maps").read_text().count(str(directory))
        other.close()

    def test_one_with_a_larger_map_does_not_disturb_one_with_a_smaller(self, store, directory):
        """The small one here gets the map of the other process as soon as that has used it."""
        small = LMDBStore(directory, 1 << 20)
        push(small, b"first")
        run(
            "import pathlib, sys\n"
            "from asgi_redis.engine.stores.lmdb.store import LMDBStore\n"
            "store = LMDBStore(pathlib.Path(sys.argv[1]), 64 << 20)\n"
            "assert all(store.push([('a', 'a', b'x' * 100_000, 1000)] * 100, 60))",
            directory,
        )
        assert pop(small, limit=1) == [b"first"]
        assert push(small, b"x" * 2000) == [None]
        assert len(pop(small)) == 100
        small.close()

    def test_one_with_a_smaller_map_takes_no_memory_from_one_with_a_larger(self, store, directory):
        """LMDB cuts the file to the size of the map that it is opened with."""
        push(store, b"1")
        size = (directory / lmdb_file.DATA).stat().st_size
        with another_user_of(directory):
            assert (directory / lmdb_file.DATA).stat().st_size == size

    def test_a_layer_that_asks_for_more_than_another_of_its_process_gets_it(self, store, directory):
        small = LMDBStore(directory, 1 << 20)
        assert not all(push(small, *[b"x" * 100_000] * 20))
        assert all(push(store, *[b"x" * 100_000] * 50))
        assert len(pop(small)) > 50
        small.close()

    def test_threads_open_it_once(self, store, directory):
        barrier = threading.Barrier(4)
        pushed = []

        def work():
            barrier.wait()
            pushed.extend(push(store, b"x"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pushed == [True] * 4
        assert len(pop(store)) == 4

    def test_a_child_process_goes_on_with_an_environment_of_its_own(self, store):
        push(store, b"from the parent")
        pid = os.fork()
        if not pid:
            os._exit(pop(store) != [b"from the parent"] or push(store, b"from the child") != [True])
        assert os.waitpid(pid, 0)[1] == 0
        assert pop(store) == [b"from the child"]

    def test_a_child_process_counts_as_a_user_of_the_store(self, store, directory):
        """An environment must not be used across a fork; a new one holds another lock."""
        push(store, b"from the parent")
        answer, question = os.pipe(), os.pipe()
        pid = os.fork()
        if not pid:
            try:
                push(store, b"from the child")
                os.write(answer[1], b".")
                os.read(question[0], 1)
            finally:
                os._exit(0)
        os.read(answer[0], 1)
        users = lmdb_file.users(directory)
        os.write(question[1], b".")
        assert users == sorted([os.getpid(), pid])
        assert os.waitpid(pid, 0)[1] == 0
        for fd in (*answer, *question):
            os.close(fd)

    def test_a_fork_while_threads_are_at_work(self, store):
        stop = threading.Event()

        def work():
            while not stop.is_set():
                push(store, b"x", queue="work", capacity=10**6)
                pop(store, "work", limit=1)
                time.sleep(0)  # under gevent no other greenlet would have a turn

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(20):
                pid = os.fork()
                if not pid:
                    try:
                        os._exit(push(store, b"%d" % number) != [True])
                    finally:
                        os._exit(2)  # an error must not leave a second pytest
                assert os.waitpid(pid, 0)[1] == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert pop(store) == [b"%d" % number for number in range(20)]

    @pytest.mark.native("another thread is there at the fork")
    def test_a_process_that_is_forked_in_c_amid_a_transaction_of_another_thread_says_so(self, store):
        begun, go_on = threading.Event(), threading.Event()

        def work(environment, txn, now):
            begun.set()
            go_on.wait(20)

        push(store, b"from the parent")
        thread = threading.Thread(target=store.transact, args=[work])
        thread.start()
        begun.wait()
        pid = ctypes.PyDLL(None).fork()
        if not pid:
            signal.alarm(20)
            try:
                store.close()  # it does not wait for that thread, which is not there
                with pytest.raises(UnusableStore, match="forked in the middle"):
                    push(store, b"from the child")
                os._exit(0)
            finally:
                os._exit(2)
        go_on.set()
        thread.join()
        assert os.waitpid(pid, 0)[1] == 0
        assert pop(store) == [b"from the parent"]

    @pytest.mark.native("another thread is there at the fork")
    def test_a_fork_waits_for_one_that_another_thread_is_opening(self, store, directory, monkeypatch):
        begun, go_on = threading.Event(), threading.Event()
        make = sharing._make

        def slow(*arguments):
            begun.set()
            go_on.wait()
            return make(*arguments)

        monkeypatch.setattr(sharing, "_make", slow)
        thread = threading.Thread(target=push, args=[store, b"x"])
        thread.start()
        begun.wait()
        fork = sharing._Fork()
        timer = threading.Timer(0.1, go_on.set)  # by then the fork waits; if it were late, this would show nothing
        timer.start()
        fork.hold()
        is_current = sharing._open[directory].is_current
        fork.release()
        thread.join()
        timer.join()
        assert not is_current
        assert pop(store) == [b"x"]

    def test_to_open_it_needs_no_list_of_all_locks(self, store, directory, monkeypatch):
        """Linux takes seconds for that at times, when other processes lock files."""
        monkeypatch.setattr(lmdb_file, "users", None)
        with another_user_of(directory):
            assert push(store, b"x") == [True]
