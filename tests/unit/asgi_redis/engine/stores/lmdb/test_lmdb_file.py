"""LMDB's private file format: a test that fails shows that the installed LMDB has changed it."""

from __future__ import annotations

import mmap
import os
import struct

import lmdb
import pytest

from asgi_redis.engine.stores.lmdb import lmdb_file
from tests.support.stores.lmdb_stores import another_user_of, run

CHANGED = f"LMDB {'.'.join(map(str, lmdb.version()))} (py-lmdb {lmdb.__version__}) has changed its format: "


@pytest.fixture
def place(base):
    with lmdb.open(str(base), map_size=1 << 20, writemap=True, sync=False) as environment:
        yield base, environment


def test_the_meta_pages_say_how_long_the_file_is(place):
    base, environment = place
    for number in range(20):
        with environment.begin(write=True) as txn:
            txn.put(b"%d" % number, b"x" * 5000)
        length = (environment.info()["last_pgno"] + 1) * lmdb_file.PAGE
        with (base / lmdb_file.DATA).open("rb") as file:
            metas = [file.read(lmdb_file.PAGE) for _ in range(2)]
        last_page, transaction = max(
            (struct.unpack_from("=QQ", meta, 136) for meta in metas), key=lambda meta: meta[1]
        )
        assert ((last_page + 1) * lmdb_file.PAGE, transaction) == (length, environment.info()["last_txnid"]), (
            CHANGED + "the last page and transaction are not at byte 136 of the meta pages"
        )
    os.truncate(base / lmdb_file.DATA, length)
    assert not lmdb_file.is_truncated(base), CHANGED + "a file of all its pages looks truncated"
    os.truncate(base / lmdb_file.DATA, length - 1)
    assert lmdb_file.is_truncated(base), CHANGED + "a truncated file is not found out"


def test_a_process_that_has_it_open_locks_the_first_byte_of_the_lock_file(store, directory):
    with another_user_of(directory) as process:
        assert lmdb_file.a_user(directory) == process.pid, CHANGED + "an open environment holds no lock on byte 0"
        assert lmdb_file.users(directory) == [process.pid], CHANGED + "an open environment holds no lock on byte 0"
    assert lmdb_file.a_user(directory) is None, CHANGED + "a lock outlives its process"


def test_the_lock_file_is_allocated_as_a_whole(base):
    lmdb_file.allocate_lock_file(base)
    allocated = (base / lmdb_file.LOCK).stat().st_size
    run("import lmdb, sys; lmdb.open(sys.argv[1], map_size=1 << 20)", base)
    assert (base / lmdb_file.LOCK).stat().st_size <= allocated, CHANGED + "its lock file has grown"


def test_the_mutex_of_the_writer_is_a_futex_word_in_the_lock_file(place):
    base, environment = place
    with (base / lmdb_file.LOCK).open("rb") as file, environment.begin(write=True):
        # Mapped, not read: closing the file would give up LMDB's locks, but this environment is not used again.
        words = struct.unpack("<64I", mmap.mmap(file.fileno(), 256, prot=mmap.PROT_READ)[:])
        assert os.getpid() in [word & 0x3FFFFFFF for word in words], (
            CHANGED + "no futex word in the first 256 bytes of the lock file has the number of the writer's process"
        )
