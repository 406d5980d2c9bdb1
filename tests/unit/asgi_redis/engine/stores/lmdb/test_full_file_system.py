"""
A file system that is full: messages are refused, stored ones can be read, and no process is killed.

The map is written to directly: a page that cannot be had would be a bus error.
"""

from __future__ import annotations

import json

import pytest

from tests.support.stores.lmdb_stores import run

PROGRAM = """
import ctypes, json, os, pathlib, sys, time
libc = ctypes.CDLL(None, use_errno=True)
where, size = sys.argv[1:]
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
if libc.unshare(CLONE_NEWNS) or libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None) or libc.mount(
    b'none', where.encode(), b'tmpfs', 0, b'size=' + size.encode()
):
    print('"may not mount"')
    sys.exit()
from asgi_redis.engine.stores.lmdb.store import LMDBStore
store = LMDBStore(pathlib.Path(where, 's', '=s'), 64 << 20)
other = pathlib.Path(where, 'other')

def push(queue, size, expiry=60):
    return store.push([(queue, queue, b'x' * size, 10**9)], expiry)[0]

def fill_with(size):
    count = 0
    while push('a', size):
        count += 1
    return count

def empty(limit=1):
    count = 0
    while popped := len(store.pop(['a'], limit, 60)):
        count += popped
    return count

def there_and_back(count, size):
    return sum(bool(push('b', size)) and len(store.pop(['b'], 1, 60)) for _ in range(count))

def fill_with_something_else():
    with other.open('wb', 0) as file:
        try:
            while True:
                file.write(b'x' * 4096)
        except OSError as error:
            assert error.errno == 28
"""


@pytest.fixture
def in_a_small_one(tmp_path):
    """Runs a program in a file system of that size; returns its output."""

    def run_it(program, size="8m"):
        seen = json.loads(run(PROGRAM + program, tmp_path, size))
        if seen == "may not mount":
            pytest.skip("needs the right to mount")
        return seen

    return run_it


@pytest.mark.parametrize(
    "size",
    [*[pytest.param(size, marks=pytest.mark.soak) for size in (100, 1000, 3000)], 1900, 100_000],
)
def test_it_refuses_messages_and_takes_them_again_once_others_were_read(in_a_small_one, size):
    """LMDB never gives the file system a page back: the free pages in the file have to do."""
    seen = in_a_small_one(
        f"seen = [fill_with({size}), push('other', {size}), empty(), there_and_back(100, {size})]\n"
        "store.flush()\n"
        f"seen.append(there_and_back(100, {size}))\n"
        "store.close()\n"
        "store = LMDBStore(store.directory, 64 << 20)\n"
        f"seen += [there_and_back(100, {size}), fill_with({size}), empty(limit=1000)]\n"
        "print(json.dumps(seen))"
    )
    sent, refused, received, again, after_flush, opened_anew, sent_again, received_again = seen
    assert sent * (size + 30) > 3 << 20
    assert refused is None
    assert received == sent
    assert again == after_flush == opened_anew == 100
    assert sent_again > sent * 0.9
    assert received_again == sent_again


def test_expired_messages_make_room(in_a_small_one):
    """Here and there in the whole file: removing them takes as many pages as it changes."""
    refused, sent = in_a_small_one(
        "count = 0\n"
        "while push(f'q{count:05}', 1900, 0.5 if count % 8 else 60):\n"
        "    count += 1\n"
        "refused = push('b', 1900)\n"
        "time.sleep(0.6)\n"
        "deadline = time.monotonic() + 10\n"
        "sent = 0\n"
        "while sent < count // 4 and time.monotonic() < deadline:\n"
        "    sent += bool(push(f'q{sent * 2:05}again', 1900))\n"
        "print(json.dumps([refused, sent / count]))"
    )
    assert refused is None
    assert sent > 0.2


def test_it_grows_when_there_is_room_again(in_a_small_one):
    full, more = in_a_small_one(
        "push('a', 1)\n"
        "fill_with_something_else()\n"
        "full = fill_with(1000)\n"
        "other.unlink()\n"
        "full += sum(bool(push('a', 1000)) for _ in range(20))  # it does not ask each time\n"
        "print(json.dumps([full, full + fill_with(1000)]))"
    )
    assert full > 100
    assert more > 3 * full


@pytest.mark.parametrize("free", [*[pytest.param(free, marks=pytest.mark.soak) for free in (0, 2, 3)], 1, 600])
def test_opening_a_store_there_is_an_error_and_kills_no_process(in_a_small_one, free):
    """With so many pages that are left."""
    said, opened = in_a_small_one(
        "import lmdb\n"
        "store.directory.parent.mkdir()\n"
        "fill_with_something_else()\n"
        f"os.truncate(other, other.stat().st_size - 4096 * {free})\n"
        "said = ''\n"
        "try:\n"
        "    push('a', 1)\n"
        "except (OSError, lmdb.Error) as error:\n"
        "    said = str(error)\n"
        "other.unlink()\n"
        "print(json.dumps([said, push('a', 1)]))"
    )
    assert ("No space left" in said) == (free < 600)
    assert opened


def test_members_of_groups_are_refused_too(in_a_small_one):
    added, refused = in_a_small_one(
        "from asgi_redis.exceptions import ChannelFull\n"
        "added = refused = 0\n"
        "while not refused:\n"
        "    try:\n"
        "        store.group_add('g', f'channel{added}', 60)\n"
        "        added += 1\n"
        "    except ChannelFull:\n"
        "        refused += 1\n"
        "assert len(store.group_channels('g', 60)) == added\n"
        "print(json.dumps([added, refused]))"
    )
    assert added > 10_000
    assert refused == 1


def test_reports_of_processes_leave_the_pages_that_reading_takes(in_a_small_one):
    """A report that finds no room is an error; however many there are, messages can be read and purged."""
    sent, reported, refused, received, purged, again = in_a_small_one(
        "sent = fill_with(1900)\n"
        "reported = refused = 0\n"
        "for number in range(900):\n"
        "    try:\n"
        "        store.report(f'host.{number}', b'x' * (40_000, 8_000, 1_000)[number // 300])\n"
        "        reported += 1\n"
        "    except OSError as error:\n"
        "        assert error.errno == 28\n"
        "        refused += 1\n"
        "    store.count('a', 'messages_retried', 1)\n"
        "    assert len(store.reports()) == reported\n"
        "received = len(store.pop(['a'], 100, 60))\n"
        "purged = store.purge('a', 60)\n"
        "store.report('host', b'x' * 40_000)\n"
        "print(json.dumps([sent, reported, refused, received, purged, fill_with(1900)]))"
    )
    assert reported + refused == 900
    assert refused > 200
    assert received == 100
    assert purged == sent - 100
    assert again > sent / 2


MANY = """
names = [f'channel-number-{number:05}-' + 'x' * 60 for number in range(8000)]
for name in names:
    assert push(name, 200)
fill_with_something_else()
"""


def test_expired_messages_in_many_queues_are_passed_over(in_a_small_one):
    seen = in_a_small_one(
        MANY + "from asgi_redis.engine.stores.lmdb import sharing\n"
        "now = sharing.now\n"
        "sharing.now = lambda: now() + 1000\n"
        "seen = [push('live', 100), *[len(store.pop([*names, 'live'], 1, 60)) for _ in range(2)]]\n"
        "print(json.dumps([*seen, push('b', 100), len(store.pop(['b'], 1, 60))]))",
        size="12m",
    )
    assert seen == [True, 1, 0, True, 1]


def test_many_queues_can_be_read_at_once(in_a_small_one):
    received = in_a_small_one(
        MANY + "count = 0\nwhile taken := len(store.pop(names, 5000, 60)):\n    count += taken\nprint(count)",
        size="12m",
    )
    assert received == 8000
