"""Messages as bytes and back: checks before a send, and drops at a receive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asgi_redis.engine.dropped import DroppedMessages
from asgi_redis.exceptions import InvalidMessage, MessageTooLarge, UndecodableMessage
from asgi_redis.serializers import Serializer, decoding, encoding, spliceable
from asgi_redis.wire.message import Batch, Message

_FLAT = {str, bytes, int, float, bool, type(None)}  # types of values that have no keys


class MessageEncoder:
    """
    Makes the entries of queues. Raises ``InvalidMessage`` and ``MessageTooLarge``.

    ``InvalidMessage`` names the path to the bad value. ``prefix_length`` are the bytes before each message that do
    not count towards ``max_message_bytes``.
    """

    def __init__(self, serializer: Serializer, max_message_bytes: int, prefix_length: int = 0) -> None:
        self.spliceable = spliceable(serializer)
        """Makes the parts of entries that Redis puts together; None where that is impossible."""
        bare = self.spliceable and not prefix_length  # only the format is left to apply
        self._serialize = self.spliceable.as_bytes if self.spliceable and bare else serializer.serialize
        self.max_message_bytes = max_message_bytes
        self._prefix_length = prefix_length
        self._longest = max_message_bytes + prefix_length

    def encode(self, message: Message) -> bytes:
        """Return a message as an entry."""
        try:
            entry = self._serialize(message)
        except Exception as error:
            raise self._invalid(message, error) from error
        if len(entry) > self._longest or not has_only_str_keys(message):
            self._refuse(message, len(entry))
        return entry

    def encode_for(self, channel: str, message: Message) -> bytes:
        """Return a message as an entry of a channel's queue."""
        return self.encode({**message, "__asgi_channel__": channel} if "!" in channel else message)

    def encode_for_group(self, channels: Sequence[bytes], message: Message) -> bytes:
        """Return a message as an entry for channels of one queue; ``check`` must follow."""
        try:
            return self._serialize({**message, "__asgi_channel__": [name.decode() for name in channels]})
        except Exception as error:
            raise self._invalid(message, error) from error

    def head(self, message: Message) -> bytes:
        """Return the common part of the entries of a group send; ``check`` must follow."""
        assert self.spliceable is not None
        try:
            return self.spliceable.head(message)
        except Exception as error:
            raise self._invalid(message, error) from error

    def is_too_long(self, length: int) -> bool:
        """Return whether an entry has too many bytes."""
        return length > self._longest

    def check(self, message: Message, length: int) -> None:
        """Raise the error of a message, if it has one, whose entry has so many bytes."""
        if length > self._longest or not has_only_str_keys(message):
            self._refuse(message, length)

    def _refuse(self, message: Message, length: int) -> None:
        if not has_only_str_keys(message):
            raise self._invalid(message)
        raise MessageTooLarge(
            f"the message has {length - self._prefix_length} bytes when serialised, max_message_bytes is "
            f"{self.max_message_bytes}"
        )

    def _invalid(self, message: object, error: Exception | None = None) -> InvalidMessage:
        try:
            found = self._find(message, "message")
        except RecursionError:
            found = "message is nested too deeply, or in itself"
        return InvalidMessage(found or f"the message cannot be serialised: {error}")

    def _find(self, value: Any, path: str) -> str | None:
        """Return which value within ``value`` cannot be serialised, and why."""
        items: Any = ()
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    return f"{path} has the key {key!r}: keys must be str, not {type(key).__name__}"
            items = value.items()
        elif isinstance(value, (list, tuple)):
            items = enumerate(value)
        else:
            try:
                self._serialize({"value": value})
            except Exception as error:  # noqa: BLE001  whatever the format raises, it is this value that it cannot hold
                return f"{path} ({type(value).__name__}) cannot be serialised: {error}"
        return next(filter(None, (self._find(item, f"{path}[{key!r}]") for key, item in items)), None)


class MessageDecoder:
    """
    Makes messages of entries. Drops, counts and logs entries that are none.

    The log has the channel, and never the content. ``payload`` turns an entry into bytes that ``decode`` turns into a
    message; ``encode`` turns a message into such bytes, and is None for a format that cannot.
    """

    def __init__(self, serializer: Serializer, reason: str = "that cannot be decoded", kind: str = "message") -> None:
        self.payload, self._from_bytes = decoding(serializer)
        plain = spliceable(serializer)
        self._is_bare = plain is not None and not plain.random_prefix_length  # an entry is its own payload
        self.encode = encoding(serializer)
        self._undecodable = DroppedMessages(reason, kind)
        self.on_drop: Callable[[str | None], object] = _ignore
        """Called with the channel of each entry that was dropped, or None."""

    @property
    def undecodable_count(self) -> int:
        """How many messages this process has dropped because they could not be decoded."""
        return self._undecodable.count

    def decode(self, payload: bytes) -> Message:
        """Return the message. Raises ``UndecodableMessage``, or a serialiser's error."""
        message = self._from_bytes(payload)
        if not isinstance(message, dict):
            raise UndecodableMessage(f"a {type(message).__name__} instead of a dict")
        return message

    def decode_or_drop(self, channel: str, entry: bytes) -> Message | None:
        """Return the message of an entry; None when it was dropped."""
        try:
            return self.decode(entry if self._is_bare else self.payload(entry))
        except Exception as error:  # noqa: BLE001  a serialiser may raise anything; no reader may die of it
            self.drop(channel, error)
            return None

    def decode_or_none(self, entry: bytes) -> Message | None:
        """Return the message of an entry that stays where it is; None if it has none."""
        try:
            return self.decode(self.payload(entry))
        except Exception:  # noqa: BLE001  a serialiser may raise anything
            return None

    def decode_all(self, entries: Iterable[tuple[str, bytes]]) -> Batch:
        """Return the messages of entries with their channels; others are dropped."""
        decoded = [(channel, self.decode_or_drop(channel, entry)) for channel, entry in entries]
        return [(channel, message) for channel, message in decoded if message is not None]

    def drop(self, channel: str | None, error: Exception) -> None:
        """Count and log a message, of a channel if that is known, that cannot be decoded."""
        # The text of any other error may repeat the content, which stays out of the log.
        self._undecodable.add(channel, error if isinstance(error, MessageTooLarge) else type(error).__name__)
        self.on_drop(channel)


def _ignore(channel: str | None) -> None:
    """Count nothing."""


def has_only_str_keys(value: Any) -> bool:
    """Return whether all the keys of ``value`` are str, however deep."""
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str or type(item) not in _FLAT:
                break
        else:
            return True  # the usual case, decided quickly
    try:
        return _has_only_str_keys(value)
    except RecursionError:
        return False  # JSON goes deeper on Python 3.12 and newer; not every reader does


def _has_only_str_keys(value: Any) -> bool:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return False
        value = value.values()
    for item in value:
        if isinstance(item, (dict, list, tuple)) and not _has_only_str_keys(item):
            return False
    return True
