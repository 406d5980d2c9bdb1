"""The body of a request, read in chunks."""

from __future__ import annotations

import asyncio

import pytest

from asgi_redis.interface import body as module
from asgi_redis.interface.body import CHUNK_BYTES, BodyError, RequestBody

SETTINGS = {"max_body_bytes": 10 * CHUNK_BYTES, "body_timeout": 0.2}


def body_of(*parts, headers=(), version="1.1", **settings):
    """A body whose parts come as the server has them; a number is a pause in seconds."""
    events = list(parts)

    async def receive():
        part = events.pop(0)
        if isinstance(part, float):
            await asyncio.sleep(part)
            part = events.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(events)}

    scope = {"headers": list(headers), "http_version": version}
    return RequestBody(scope, receive, {**SETTINGS, **settings})


async def chunks(body):
    read = [await body.chunk()]
    while body.rest:
        read.append(await body.chunk())
    return read


def test_small_parts_are_joined_and_large_ones_cut():
    size = 2 * CHUNK_BYTES + 5
    parts = [b"x" * 1000] * (size // 1000) + [b"y" * (size % 1000)]
    read = asyncio.run(chunks(body_of(*parts)))
    assert b"".join(read) == b"".join(parts)
    assert [len(chunk) for chunk in read] == [CHUNK_BYTES, CHUNK_BYTES, 5]


def test_a_request_without_a_body_has_one_empty_chunk():
    assert asyncio.run(chunks(body_of(b""))) == [b""]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (lambda: body_of(b"x", headers=[(b"content-length", b"%d" % (11 * CHUNK_BYTES))]), 413),
        (lambda: body_of(*[b"x" * CHUNK_BYTES] * 11), 413),
        (lambda: body_of(b"x", 5.0, b"y", headers=[(b"content-length", b"2")]), 408),
        (lambda: body_of(b"x" * 100_000, 5.0, b"y", headers=[(b"transfer-encoding", b"chunked")]), 408),
        (lambda: body_of(b"x", 5.0, b"y", version="2"), 408),
        (lambda: body_of(b"x", None, b""), None),
    ],
)
def test_a_body_that_is_not_taken(body, status):
    with pytest.raises(BodyError) as error:
        asyncio.run(chunks(body()))
    assert error.value.status == status


@pytest.mark.parametrize(("size", "enough"), [(10_000, True), (1000, False)])
def test_bytes_that_come_buy_time(monkeypatch, size, enough):
    """Five times a client stops for fifteen seconds; a second costs 500 bytes."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    events = [{"type": "http.request", "body": b"x" * size, "more_body": number < 5} for number in range(6)]

    async def receive():
        now[0] += 15
        return events.pop(0)

    scope = {"headers": [(b"content-length", b"%d" % (6 * size))], "http_version": "1.1"}
    body = RequestBody(scope, receive, {**SETTINGS, "body_timeout": 30.0})
    if enough:
        assert asyncio.run(chunks(body)) == [b"x" * 6 * size]
    else:
        with pytest.raises(BodyError, match="408"):
            asyncio.run(chunks(body))
