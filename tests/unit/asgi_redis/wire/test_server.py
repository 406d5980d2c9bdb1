"""Operations on a server as a whole, as bytes."""

from __future__ import annotations

from asgi_redis.wire.server import client_id, scan, unblock, unlink
from tests.support.resp import commands


def test_scan_unlink_client_id_and_unblock():
    assert commands(scan(b"17", b"p:*").packed) == [[b"SCAN", b"17", b"MATCH", b"p:*", b"COUNT", b"1000"]]
    assert scan(b"0", b"").read([b"0", [b"k"]]) == (b"0", [b"k"])
    assert commands(unlink([b"a", b"b"]).packed) == [[b"UNLINK", b"a", b"b"]]
    assert commands(client_id().packed) == [[b"CLIENT", b"ID"]]
    assert commands(unblock(42).packed) == [[b"CLIENT", b"UNBLOCK", b"42", b"ERROR"]]
