"""From message to bytes and back, in the format of channels_redis."""

from __future__ import annotations

import subprocess
import sys

import msgpack
import pytest

from asgi_redis.exceptions import ConfigurationError, MissingExtra, UndecodableMessage
from asgi_redis.serializers import (
    BaseMessageSerializer,
    JSONSerializer,
    MsgPackSerializer,
    SerializerDoesNotExist,
    SerializersRegistry,
    registry,
    spliceable,
)

MESSAGE = {"text": "häl\u2603lo", "bytes": b"\x00\xff", "n": -(1 << 63), "list": [1, 2.5, None, True], "d": {"e": {}}}
TEXT = {"text": "häl\u2603lo", "list": [1, 2.5, None, True], "d": {"e": {}}}
KEYS = ["first key", b"second key"]


def make(name="msgpack", **options):
    return registry.get_serializer(name, **{"random_prefix_length": 12, "expiry": 60, **options})


@pytest.mark.parametrize(("name", "message"), [("msgpack", MESSAGE), ("json", TEXT)])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_message_comes_back_as_it_was(name, message, keys):
    serializer = make(name, symmetric_encryption_keys=keys)
    assert serializer.deserialize(serializer.serialize(message)) == message


def test_msgpack_is_what_follows_the_prefix():
    assert msgpack.unpackb(make().serialize(MESSAGE)[12:]) == MESSAGE


@pytest.mark.parametrize(("name", "message"), [("msgpack", MESSAGE), ("json", TEXT)])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_channels_redis_reads_it_and_we_read_channels_redis(name, message, keys):
    theirs = pytest.importorskip("channels_redis.serializers").registry.get_serializer(
        name, symmetric_encryption_keys=keys, random_prefix_length=12, expiry=60
    )
    ours = make(name, symmetric_encryption_keys=keys)
    assert theirs.deserialize(ours.serialize(message)) == message
    assert ours.deserialize(theirs.serialize(message)) == message


def test_equal_messages_become_different_members_that_sort_in_the_order_of_sending():
    serializer = make()
    members = [serializer.serialize({}) for _ in range(1000)]
    assert len(set(members)) == 1000
    assert members == sorted(members)


def test_two_layers_and_a_forked_process_have_prefixes_of_their_own():
    first, second = make(), make()
    ours = first.prefix()
    assert ours[6:] != second.prefix()[6:]
    first.start_process()
    assert first.prefix()[6:] != ours[6:]


@pytest.mark.parametrize("length", [4, 5, 12, 32])
def test_a_prefix_has_its_length(length):
    serializer = make(random_prefix_length=length)
    assert {len(serializer.prefix()) for _ in range(300)} == {length}


def test_the_first_key_encrypts_and_all_decrypt():
    old, both, new = (make(symmetric_encryption_keys=keys) for keys in (["old"], ["new", "old"], ["new"]))
    assert both.deserialize(old.serialize(MESSAGE)) == MESSAGE
    assert new.deserialize(both.serialize(MESSAGE)) == MESSAGE
    with pytest.raises(UndecodableMessage):
        old.deserialize(both.serialize(MESSAGE))


def test_nothing_of_the_message_can_be_seen_in_what_is_encrypted():
    assert b"secret" not in make(symmetric_encryption_keys=["key"]).serialize({"text": "secret"})


def test_a_key_may_be_str_or_its_bytes():
    data = make(symmetric_encryption_keys=["kéy"]).serialize(MESSAGE)
    assert make(symmetric_encryption_keys=["kéy".encode()]).deserialize(data) == MESSAGE


def test_an_encrypted_message_is_refused_ten_seconds_after_its_expiry(monkeypatch):
    import time

    serializer = make(symmetric_encryption_keys=["key"], expiry=0.5)
    data = serializer.serialize(MESSAGE)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10)
    assert serializer.deserialize(data) == MESSAGE
    monkeypatch.setattr(time, "time", lambda: now + 13)
    with pytest.raises(UndecodableMessage):
        serializer.deserialize(data)


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 12, b"x" * 12 + b"garbage", b"x" * 500])
def test_garbage_is_undecodable_with_keys(data):
    with pytest.raises(UndecodableMessage):
        make(symmetric_encryption_keys=["key"]).deserialize(data)


@pytest.mark.parametrize("keys", ["abc", b"abc", ""])
def test_one_bare_key_is_refused_with_what_to_write(keys):
    with pytest.raises(ValueError, match=r'must be a list of keys: \["..."\]'):
        make(symmetric_encryption_keys=keys)


@pytest.mark.parametrize("keys", [[None], [""], ["good", b""], [7]])
def test_a_key_that_is_none_is_refused(keys):
    with pytest.raises(ConfigurationError, match="each of symmetric_encryption_keys"):
        make(symmetric_encryption_keys=keys)


def test_a_refused_key_is_not_shown():
    with pytest.raises(ConfigurationError) as raised:
        make(symmetric_encryption_keys="my secret")
    assert "my secret" not in str(raised.value)


def test_without_cryptography_the_error_names_the_extra():
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from asgi_redis.serializers import registry\n"
        "registry.get_serializer('msgpack')\n"
        "registry.get_serializer('msgpack', symmetric_encryption_keys=['key'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"{MissingExtra.__name__}: symmetric_encryption_keys needs cryptography" in ended.stderr
    assert 'pip install "asgi_redis[cryptography]"' in ended.stderr


# Members that Redis puts together

NAMES = [b"a!b", b"x" * 31, b"x" * 32, b"y" * 99]


@pytest.mark.parametrize("name", ["msgpack", "json"])
@pytest.mark.parametrize("entries", [0, 1, 14, 15, 16, 300, 65534, 65535, 65536])
def test_head_and_tail_are_together_a_member_with_the_names(name, entries):
    serializer = make(name)
    message = {f"k{number}": number for number in range(entries)}
    member = serializer.head(message) + serializer.tail(NAMES)
    expected = {**message, "__asgi_channel__": [name.decode() for name in NAMES]}
    assert serializer.deserialize(member) == expected


@pytest.mark.parametrize("name", ["msgpack", "json"])
@pytest.mark.parametrize("count", [1, 15, 16, 5000, 70000])
def test_a_tail_holds_any_number_of_names(name, count):
    serializer = make(name)
    names = [b"p!%d" % number for number in range(count)]
    assert serializer.tails([names, [b"a"], names[:1]]) == [*map(serializer.tail, ([*names], [b"a"], names[:1]))]
    received = serializer.deserialize(serializer.head({}) + serializer.tail(names))
    assert received == {"__asgi_channel__": [name.decode() for name in names]}


def test_a_serialiser_that_encrypts_cannot_be_cut():
    assert spliceable(make(symmetric_encryption_keys=["key"])) is None


def test_neither_can_a_subclass_nor_one_of_the_users():
    class Tagged(MsgPackSerializer):
        def as_bytes(self, message, *args, **kwargs):
            return b"tag" + super().as_bytes(message)

    assert spliceable(Tagged(random_prefix_length=12)) is None
    assert spliceable(Reversed()) is None
    assert isinstance(spliceable(make("json")), JSONSerializer)


# The registry


class Reversed:
    """A serialiser that is not derived from ours."""

    def __init__(self, **options):
        self.options = options

    def serialize(self, message):
        return repr(message).encode()[::-1]

    def deserialize(self, message):
        return eval(message[::-1])


def test_a_registered_format_gets_the_settings_by_name():
    formats = SerializersRegistry()
    formats.register_serializer("reversed", Reversed)
    serializer = formats.get_serializer("reversed", random_prefix_length=12, expiry=60)
    assert serializer.options == {"random_prefix_length": 12, "expiry": 60}
    assert serializer.deserialize(serializer.serialize({"a": 1})) == {"a": 1}


def test_registering_again_replaces():
    formats = SerializersRegistry()
    formats.register_serializer("x", MsgPackSerializer)
    formats.register_serializer("x", JSONSerializer)
    assert type(formats.get_serializer("x")) is JSONSerializer


def test_a_format_that_is_not_registered_is_named_with_those_that_are():
    with pytest.raises(SerializerDoesNotExist) as raised:
        registry.get_serializer("xml")
    assert str(raised.value).startswith("no serializer 'xml' is registered; there are json, msgpack")
    assert isinstance(raised.value, KeyError)


def test_what_cannot_serialise_is_not_registered():
    with pytest.raises(TypeError, match="has no serialize and deserialize"):
        SerializersRegistry().register_serializer("x", dict)


def test_a_subclass_of_the_base_says_only_how_a_message_becomes_bytes():
    class Repr(BaseMessageSerializer):
        def as_bytes(self, message, *args, **kwargs):
            return repr(message).encode()

        def from_bytes(self, message, *args, **kwargs):
            return eval(message)

    serializer = Repr(random_prefix_length=8, symmetric_encryption_keys=["key"])
    assert serializer.deserialize(serializer.serialize({"a": 1})) == {"a": 1}
