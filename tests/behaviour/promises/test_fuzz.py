"""
Entries of queues that anything may have written: none ends a reader, or comes out as what it is not.

Valid entries that were changed, bytes that are none, and what is valid in its format but no message.
"""

from __future__ import annotations

import json
import time

import msgpack
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUEUES = ["work", "specific.me!", "reply?me"]
CHANNEL_OF = {"work": "work", "specific.me!": "specific.me!x", "reply?me": "reply?me"}
OPTIONS = {
    "msgpack": {},
    "json": {"serializer_format": "json"},
    "encrypted": {"symmetric_encryption_keys": ["key"]},
}

names = st.one_of(
    st.sampled_from(
        ["specific.me!a", "specific.me!b", "specific.me!", "specific.you!a", "work", "specific.me!a\n", ""]
    ),
    st.text(max_size=120),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary(), names
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(scalars, inner, max_size=4))
)
messages = st.one_of(
    values,
    st.dictionaries(st.text(max_size=5), values, max_size=3),
    st.builds(lambda channel: {"n": 1, "__asgi_channel__": channel}, st.one_of(values, names, st.lists(names))),
)
SPECIAL = [
    b"",
    b"\xc1",
    b"\xdf\xff\xff\xff\xff",  # a map of 4 billion entries
    b"\xdd\xff\xff\xff\xff\x01",  # a list, likewise
    b"\xdb\xff\xff\xff\xfftext",
    b"\xc7\x05\x7fabcde",  # an extension type
    b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # a time stamp that cannot be
    b"\x81\xa1\x61\xa3\xed\xa0\x80",  # a surrogate
    b"\x82\xa1\x61\x01\xa1\x61\x02",  # a key twice
    b"\x91" * 100_000,  # deep
    b"\x81\xa1a" * 50_000,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": 1, "a": 2}',
    b'{"a": "\\ud800"}',
    b'{"a": ' + b"9" * 10_000 + b"}",
    b"\xff\xfe{\x00}\x00",  # UTF-16
]


def packed(message):
    try:
        return msgpack.packb(message)
    except (ValueError, OverflowError, TypeError):
        return b"\xc0"


def as_json(message):
    try:
        return json.dumps(message).encode()
    except (TypeError, ValueError):
        return b"null"


@st.composite
def entries(draw):
    """Returns bytes behind the prefix of an entry, and whether they are to be encrypted."""
    data = draw(
        st.one_of(st.sampled_from(SPECIAL), st.binary(max_size=100), messages.map(packed), messages.map(as_json))
    )
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 3))
        data = data[:start] + draw(st.binary(max_size=3)) + data[start + cut :]
    return data, draw(st.booleans())


@pytest.fixture(params=OPTIONS)
def fuzzed(request, layer_for, redis_server, prefix):
    """``fuzzed(queue, found)``: writes entries, and a good one; reads until that comes, and a few times more."""
    layer = layer_for(redis_server, **OPTIONS[request.param])
    reader = layer.reader()
    client = redis.Redis.from_url(redis_server.unix_url, protocol=2)

    def write(queue, written):
        now = time.time()
        for number, (data, encrypt) in enumerate(written):
            if encrypt and layer.crypter is not None:
                data = layer.crypter.encrypt(data)
            client.zadd(f"{prefix}{queue}", {b"%012d" % number + data: now + number * 1e-6})

    def run(queue, written, way):
        write(queue, written)
        good = CHANNEL_OF[queue]
        layer.send(good, {"good": 1})
        received = []
        for _ in range(50):
            if way == "one":
                received.append(layer.receive([queue]))
            elif way == "waiting":
                received += layer.receive_batch([queue], 1, 0.5)
            else:
                received += reader.receive_batch([queue], 10)
            if (good, {"good": 1}) in received:
                break
        assert (good, {"good": 1}) in received
        while layer.receive_batch([queue], 100):
            pass
        for channel, message in received:
            assert channel is None or channel.startswith(queue)
            assert channel is None or layer.valid_channel_name(channel)
            assert message is None or (type(message) is dict and "__asgi_channel__" not in message)

    yield run
    client.close()


def check(fuzzed, examples):
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(QUEUES), st.lists(entries(), max_size=4), st.sampled_from(["one", "waiting", "batch"]))
    def run(queue, written, way):
        fuzzed(queue, written, way)

    run()


def test_the_next_good_message_is_received(fuzzed):
    check(fuzzed, 25)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_next_good_message_is_received_for_long(fuzzed):
    check(fuzzed, 5000)


@pytest.mark.parametrize("queue", QUEUES)
def test_whatever_is_special(fuzzed, queue):
    for encrypt in (False, True):
        for way in ("one", "waiting", "batch"):
            fuzzed(queue, [(data, encrypt) for data in SPECIAL], way)


def test_what_is_dropped_is_told_without_its_content(fuzzed, caplog):
    fuzzed("work", [(b"\xc1secret\n", True), (b'"secret"', False)], "one")
    assert "secret" not in caplog.text
