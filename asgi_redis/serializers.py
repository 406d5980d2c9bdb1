"""
Message formats and encryption: from a message to the entry of a queue and back.

The format is that of channels_redis 4.3: msgpack or JSON or a registered format; then, with keys, Fernet over the
SHA-256 of each key; then ``random_prefix_length`` bytes in front, outside the encryption, that make each entry
different.
"""

from __future__ import annotations

import abc
import base64
import copy
import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Protocol, Union

import msgpack  # type: ignore[import-untyped]  # it ships no types

from asgi_redis.exceptions import ConfigurationError, MissingExtra, UndecodableMessage
from asgi_redis.exceptions import SerializerDoesNotExist as SerializerDoesNotExist
from asgi_redis.process import fork

# msgpack-python, which asgi_redis 1.4.3 asked for, has its files in the same place as msgpack. With both installed,
# the later has overwritten the other; uninstalling one leaves some files of the other.
if getattr(msgpack, "version", (0,)) < (1, 0, 3):
    raise ImportError(
        "the module msgpack is that of msgpack-python, or what is left of it, and asgi_redis needs msgpack 1.0.3: "
        "pip uninstall -y msgpack-python; pip install --force-reinstall msgpack"
    )

Key = Union[str, bytes]

_LARGEST_BUFFER = 1 << 18  # bytes
_RESERVED_KEY: bytes = msgpack.packb("__asgi_channel__")
# By the length of a name, which is ASCII and shorter than 100 bytes: "fixstr" up to 31, "str 8" above.
_NAME_HEADERS = [bytes((0xA0 | length,) if length < 32 else (0xD9, length)) for length in range(100)]
_SINGLE_NAME_HEADERS = [b"\x91" + header for header in _NAME_HEADERS]  # in an array of one


class Serializer(Protocol):
    """A class of the registry has such instances."""

    def serialize(self, message: dict[str, Any]) -> bytes:
        """Return ``message`` as the entry of a queue."""

    def deserialize(self, message: bytes) -> Any:
        """Return the message of an entry."""


class BaseMessageSerializer(abc.ABC):
    """
    The base of serialisers: a subclass adds ``as_bytes`` and ``from_bytes``.

    ``symmetric_encryption_keys`` are str or bytes: the first encrypts, all decrypt. ``random_prefix_length`` is in
    bytes. ``expiry`` is in seconds; encrypted messages are refused 10 seconds after it.
    """

    def __init__(
        self,
        symmetric_encryption_keys: Sequence[Key] | None = None,
        random_prefix_length: int = 0,
        expiry: float | None = None,
    ) -> None:
        self.random_prefix_length = random_prefix_length
        self.expiry = expiry
        self.crypter = _crypter(symmetric_encryption_keys)
        # A counter keeps the entries of one layer different, and in their order where scores are equal; the random
        # half makes them different from the entries of other layers.
        self._counter_length = (random_prefix_length + 1) // 2
        self._counter = itertools.count()
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Make the prefixes different from those of the parent process."""
        self._salt = os.urandom(self.random_prefix_length - self._counter_length)

    @abc.abstractmethod
    def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
        """Return ``message`` in this format."""

    @abc.abstractmethod
    def from_bytes(self, message: bytes, *args: Any, **kwargs: Any) -> Any:
        """Return the message of bytes in this format."""

    def prefix(self) -> bytes:
        """Return the next ``random_prefix_length`` bytes."""
        fork.check()
        length = self._counter_length
        return (next(self._counter) % (1 << 8 * length)).to_bytes(length, "big") + self._salt

    def serialize(self, message: Any) -> bytes:
        """Return ``message`` as the entry of a queue."""
        data = self.as_bytes(message)
        if self.crypter:
            data = self.crypter.encrypt(data)
        return self.prefix() + data

    def payload(self, message: bytes) -> bytes:
        """Return the bytes for ``from_bytes`` of an entry of any age, decrypted."""
        data = message[self.random_prefix_length :]
        if self.crypter:
            data = self.crypter.decrypt(data)
        return data

    def deserialize(self, message: bytes) -> Any:
        """
        Return the message of an entry. Raises ``UndecodableMessage``, or any error.

        An encrypted entry is refused 10 seconds after ``expiry``, by the clocks of its sender and of this machine.
        """
        data = message[self.random_prefix_length :]
        if self.crypter:
            ttl = None if self.expiry is None else math.ceil(self.expiry) + 10
            data = self.crypter.decrypt(data, ttl)
        return self.from_bytes(data)


class MsgPackSerializer(BaseMessageSerializer):
    """msgpack, with str and bytes kept apart."""

    def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
        if not (args or kwargs):
            return _packed(message)
        packed: bytes = msgpack.packb(message, *args, **kwargs)
        return packed

    def from_bytes(self, message: bytes, *args: Any, **kwargs: Any) -> Any:
        return msgpack.unpackb(message, *args, **kwargs)

    def head(self, message: dict[str, Any]) -> bytes:
        """Return the common part of the entries of a group send: the map up to the names."""
        entries = self.as_bytes(message)[len(_map_header(len(message))) :]
        return self.prefix() + _map_header(len(message) + 1) + entries + _RESERVED_KEY

    def tail(self, channels: Sequence[bytes]) -> bytes:
        """Return the rest of the entry for ``channels``."""
        header: bytes = msgpack.Packer().pack_array_header(len(channels))
        return header + b"".join([_NAME_HEADERS[len(name)] + name for name in channels])

    def tails(self, entries: Iterable[Sequence[bytes]]) -> list[bytes]:
        """Return the rest of several entries, most of which are for one channel each."""
        return [
            _SINGLE_NAME_HEADERS[len(channels[0])] + channels[0] if len(channels) == 1 else self.tail(channels)
            for channels in entries
        ]


class JSONSerializer(BaseMessageSerializer):
    """JSON in UTF-8; it has no bytes, and tuples come back as lists."""

    def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
        return json.dumps(message, *args, **kwargs).encode()

    def from_bytes(self, message: bytes, *args: Any, **kwargs: Any) -> Any:
        return json.loads(message, *args, **kwargs)

    def head(self, message: dict[str, Any]) -> bytes:
        """Return the common part of the entries of a group send: all but the names."""
        entries = self.as_bytes(message)[:-1] + (b", " if message else b"")
        return self.prefix() + entries + b'"__asgi_channel__": '

    def tail(self, channels: Sequence[bytes]) -> bytes:
        """Return the rest of the entry for ``channels``."""
        return json.dumps([name.decode() for name in channels]).encode() + b"}"

    def tails(self, entries: Iterable[Sequence[bytes]]) -> list[bytes]:
        """Return the rest of several entries, most of which are for one channel each."""
        return [
            b'["%b"]}' % channels[0] if len(channels) == 1 else self.tail(channels) for channels in entries
        ]  # names need no escapes


def spliceable(serializer: Serializer) -> MsgPackSerializer | JSONSerializer | None:
    """
    Return ``serializer`` if Redis can put its entries together from two parts.

    Redis cannot do so with encrypted entries, nor with those of a subclass, which may do anything to them.
    """
    if not isinstance(serializer, (MsgPackSerializer, JSONSerializer)):
        return None
    known = type(serializer) in (MsgPackSerializer, JSONSerializer)
    return serializer if known and serializer.crypter is None else None


def encoding(serializer: Serializer) -> Callable[[Any], bytes] | None:
    """Return the inverse of the second function of ``decoding``; None if unknown."""
    if type(serializer) in (MsgPackSerializer, JSONSerializer):
        return serializer.as_bytes  # type: ignore[attr-defined,no-any-return]  # both have it
    return None


def decoding(serializer: Serializer) -> tuple[Callable[[bytes], bytes], Callable[[bytes], Any]]:
    """
    Return two functions: the payload of an entry, and the message of a payload.

    Neither looks at the age, which callers know: Fernet's time is that of the sender's clock, which may be wrong.
    """
    if isinstance(serializer, BaseMessageSerializer):
        if type(serializer) is MsgPackSerializer and serializer.crypter is None:
            # The same in C: these are called for each message.
            return itemgetter(slice(serializer.random_prefix_length, None)), msgpack.unpackb
        if type(serializer).deserialize is BaseMessageSerializer.deserialize:
            return serializer.payload, serializer.from_bytes
        serializer = copy.copy(serializer)
        serializer.expiry = None
    return bytes, serializer.deserialize


class SerializersRegistry:
    """The formats for ``serializer_format``."""

    def __init__(self) -> None:
        self._classes: dict[str, Callable[..., Serializer]] = {}

    def register_serializer(self, format: str, serializer_class: Callable[..., Serializer]) -> None:  # noqa: A002
        """
        Register a class for ``format``, in place of any other.

        The class takes the arguments of ``BaseMessageSerializer`` by name; its instances have ``serialize`` and
        ``deserialize``. Raises ``TypeError`` for another kind of class.
        """
        if not all(callable(getattr(serializer_class, name, None)) for name in ("serialize", "deserialize")):
            raise TypeError(f"{serializer_class!r} has no serialize and deserialize; see BaseMessageSerializer")
        self._classes[format] = serializer_class

    def get_serializer(self, format: str, *args: Any, **kwargs: Any) -> Serializer:  # noqa: A002
        """Return a new serialiser of ``format``. Raises ``SerializerDoesNotExist``."""
        try:
            serializer_class = self._classes[format]
        except KeyError:
            known = ", ".join(sorted(self._classes))
            raise SerializerDoesNotExist(f"no serializer {format!r} is registered; there are {known}") from None
        return serializer_class(*args, **kwargs)


registry = SerializersRegistry()
registry.register_serializer("json", JSONSerializer)
registry.register_serializer("msgpack", MsgPackSerializer)


def _crypter(keys: Sequence[Key] | None) -> Any:
    if isinstance(keys, (str, bytes)):
        raise ConfigurationError('symmetric_encryption_keys must be a list of keys: ["..."], even for one')
    if not keys:
        return None
    if not all(isinstance(key, (str, bytes)) and key for key in keys):
        raise ConfigurationError("each of symmetric_encryption_keys must be a str or bytes, and not empty")
    try:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet
    except ImportError:
        raise MissingExtra(
            'symmetric_encryption_keys needs cryptography: pip install "asgi_redis[cryptography]"'
        ) from None

    class Crypter(MultiFernet):
        def decrypt(self, msg: bytes | str, ttl: int | None = None) -> bytes:
            try:
                return super().decrypt(msg, ttl)
            except InvalidToken:
                raise UndecodableMessage("none of the keys decrypts it, or it is too old") from None

    digests = [hashlib.sha256(key.encode() if isinstance(key, str) else key).digest() for key in keys]
    return Crypter([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


@functools.lru_cache(maxsize=64)
def _map_header(entries: int) -> bytes:
    header: bytes = msgpack.Packer().pack_map_header(entries)
    return header


_idle_packers: list[Any] = []  # a packer that was interrupted, or has failed, never comes back


def _packed(value: Any) -> bytes:
    """Return ``msgpack.packb(value)``, without a new buffer of up to 1 MB each time."""
    try:
        packer = _idle_packers.pop()
    except IndexError:
        packer = msgpack.Packer()
    packed: bytes = packer.pack(value)
    if len(packed) <= _LARGEST_BUFFER:  # the buffer grows with the value
        _idle_packers.append(packer)
    return packed
