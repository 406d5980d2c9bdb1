"""The operations of delayed messages, as bytes; what the scripts do is tested in ``tests/layer``."""

from __future__ import annotations

import pytest

from asgi_redis import scripts
from asgi_redis.wire import Keys, Operations
from tests.wire.resp import commands


@pytest.fixture
def operations():
    return Operations(Keys("p", "s:"), 60, 86400).delaying()


def test_a_message_is_stored_in_the_delayed_set_of_the_prefix(operations):
    operation = operations.store(b"member", 1.5)
    assert operation.script is scripts.STORE_DELAYED
    for part in (b"p:delayed", b"member", b"\r\n1.5\r\n", b"86400"):
        assert part in operation.packed


def test_only_what_is_kept_is_put_off(operations):
    operation = operations.put_off(b"member", 1.5)
    assert operation.script is scripts.STORE_DELAYED
    new, again = (commands(one.packed)[0] for one in (operations.store(b"member", 1.5), operation))
    assert (new[:-1], new[-1]) == (again[:-1], b"0")
    assert again[-1] == b"1"
    assert operation.read(0) is False


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [([-1], ([], None)), ([1500000, b"a", b"b"], ([b"a", b"b"], 1.5)), ([0], ([], 0))],
)
def test_what_is_due_reads_as_members_and_seconds(operations, reply, meaning):
    assert operations.due(100).read(reply) == meaning


def test_a_delivery_names_all_its_keys(operations):
    operation = operations.deliver(b"kept", b"local!", 100, b"member", 1.0)
    assert operation.script is scripts.DELIVER_DELAYED
    assert operation.read(2) == 2
    for part in (b"\r\n4\r\n", b"p:delayed", b"plocal!", b"s:local!", b"s:#global#", b"kept", b"member"):
        assert part in operation.packed


def test_a_discard_is_a_plain_command(operations):
    assert b"ZREM" in operations.discard(b"kept").packed
    assert operations.discard(b"kept").read(1) is True
