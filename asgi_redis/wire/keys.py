"""The keys of the wire format (that of channels_redis 4.3), and the shard that a name belongs to."""

from __future__ import annotations

import binascii

from asgi_redis.exceptions import ConfigurationError


class Keys:
    """Builds every key of one layer, as bytes. ``prefix`` and the channel name are joined with nothing between."""

    def __init__(self, prefix: str, stats_prefix: str) -> None:
        for setting, value in (("prefix", prefix), ("stats_prefix", stats_prefix)):
            if not isinstance(value, str):
                raise ConfigurationError(f"{setting} must be a str, not {value!r}")
        if prefix == stats_prefix:
            raise ConfigurationError(
                f"prefix and stats_prefix must differ, or their keys do not: both are {prefix!r}"
            )
        self._prefix = prefix.encode()
        self._stats_prefix = stats_prefix.encode()
        self.delayed = self._prefix + b":delayed"  # nor this one
        self.global_counters = self._stats_prefix + b"#global#"  # no channel can have this name

    def queue(self, queue: bytes) -> bytes:
        """The sorted set of the messages that wait; ``queue`` is a channel name cut after its ``!``."""
        return self._prefix + queue

    def queue_name(self, key: bytes) -> str:
        """The channel name, cut after its ``!``, whose queue ``key`` is."""
        return key[len(self._prefix) :].decode()

    def counters(self, queue: bytes) -> bytes:
        """The hash that counts what was sent to a channel."""
        return self._stats_prefix + queue

    def group(self, group: str) -> bytes:
        """The sorted set of the members of a group."""
        return self._prefix + b":group:" + group.encode()

    def ledger(self, process: str) -> bytes:
        """The hash that tells which joins of a process the data in Redis contain."""
        return self._prefix + b":joined:" + process.encode()

    def patterns(self) -> list[bytes]:
        """The ``SCAN`` patterns that match every key of this layer."""
        return [_escaped(self._prefix) + b"*", _escaped(self._stats_prefix) + b"*"]


def shard_of(name: bytes, shards: int) -> int:
    """Returns the index of the shard that ``name`` belongs to, as channels_redis computes it."""
    return int((binascii.crc32(name) & 0xFFF) / (4096 / shards))


def _escaped(text: bytes) -> bytes:
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\" else bytes([byte]) for byte in text)
