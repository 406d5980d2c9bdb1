"""The keys of the wire format, which is that of channels_redis 4.3."""

from __future__ import annotations

import re

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire.names import CHANNEL_PATTERN, GROUP_PATTERN

_ANY = r"[a-zA-Z0-9\-_.?!]*"
# Behind the two prefixes. channels_redis keeps in "$inflight" what its readers have in hand.
_OF_LAYER = (
    rf"{CHANNEL_PATTERN}(?:\$inflight)?|:(?:group|joined|sent|wake|process|request):{GROUP_PATTERN}"
    rf"|:delayed|:waiting|:processes|:waiting:{CHANNEL_PATTERN}"
).encode()
_OF_COUNTERS = rf"{CHANNEL_PATTERN}|#global#".encode()


class Keys:
    """Builds every key of one layer, as bytes."""

    def __init__(self, prefix: str, stats_prefix: str) -> None:
        for setting, value in (("prefix", prefix), ("stats_prefix", stats_prefix)):
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{setting} must be a str that is not empty, not {value!r}")
        self.queue_prefix = self._prefix = prefix.encode()
        """The bytes before the name of a queue in its key."""
        self.prefix_length = len(self._prefix)
        """How many these are."""
        self.counters_prefix = self._stats_prefix = stats_prefix.encode()
        """The bytes before the name of a queue in the key of its counters."""
        # No name of a channel has a ":" or "#" in it. ``prefix`` and a name are joined with nothing between.
        self.delayed = self._prefix + b":delayed"
        self.waiting_queues = self._prefix + b":waiting"
        self.shards = self._prefix + b":shards"
        self.processes = self._prefix + b":processes"
        self.global_counters = self._stats_prefix + b"#global#"
        if _overlap(prefix, stats_prefix):
            raise ConfigurationError(
                f"prefix {prefix!r} and stats_prefix {stats_prefix!r} make equal keys for channels and counters: "
                f"neither may be the other one and characters of channel names; {prefix + '-meta:'!r} would do"
            )

    def queue(self, queue: bytes) -> bytes:
        """Return the sorted set of a queue, which is a channel name cut after its ``!``."""
        return self._prefix + queue

    def wake(self, name: bytes) -> bytes:
        """Return the sorted set that ends a wait; no channel has the name of its queue."""
        return self._prefix + b":wake:" + name

    def sent(self, sender: str) -> bytes:
        """Return the string with the number of the last message of a sender."""
        return self._prefix + b":sent:" + sender.encode()

    def queue_name(self, key: bytes) -> bytes:
        """Return the name of the queue with that key, a channel name cut after its ``!``."""
        return key[self.prefix_length :]

    def counters(self, queue: bytes) -> bytes:
        """Return the hash of the counters of a channel."""
        return self._stats_prefix + queue

    def group(self, group: str) -> bytes:
        """Return the sorted set of the members of a group."""
        return self._prefix + b":group:" + group.encode()

    def ledger(self, process: str) -> bytes:
        """Return the hash that tells which joins of a process the data in Redis contain."""
        return self._prefix + b":joined:" + process.encode()

    def process(self, process: bytes) -> bytes:
        """Return the string with the report of a process."""
        return self._prefix + b":process:" + process

    def request(self, process: bytes) -> bytes:
        """Return the string with a request to a process."""
        return self._prefix + b":request:" + process

    def waiting(self, queue: bytes) -> bytes:
        """Return the sorted set of the delayed messages that wait for room in a queue."""
        return self.waiting_queues + b":" + queue

    def patterns(self) -> list[bytes]:
        """Return the ``SCAN`` patterns for the keys of this layer; see ``is_own``."""
        prefixes = [self._prefix, self._stats_prefix]
        if self._stats_prefix.startswith(self._prefix):
            del prefixes[1]
        return [_escaped(prefix) + b"*" for prefix in prefixes]

    def is_own(self, key: bytes) -> bool:
        """
        Return whether a layer with these prefixes may write ``key``.

        Where the prefix of another layer begins with this one, such as ``asgi2``, its queues are such keys, too:
        ``asgi2work`` is also the queue of ``2work``.
        """
        return any(
            key.startswith(prefix) and re.fullmatch(names, key[len(prefix) :]) is not None
            for prefix, names in ((self._prefix, _OF_LAYER), (self._stats_prefix, _OF_COUNTERS))
        )


def _overlap(prefix: str, stats_prefix: str) -> bool:
    """Return whether some key may be one of counters, too."""
    if prefix.startswith(stats_prefix):
        return re.fullmatch(_ANY, prefix[len(stats_prefix) :]) is not None
    if not stats_prefix.startswith(prefix):
        return False
    between = stats_prefix[len(prefix) :]
    families = (":group:", ":joined:", ":sent:", ":wake:", ":waiting:", ":process:", ":request:")
    others = (*families, ":delayed", ":waiting", ":processes")
    return (
        re.fullmatch(_ANY, between) is not None
        or between.startswith(families)
        or any(other.startswith(between) and re.fullmatch(CHANNEL_PATTERN, other[len(between) :]) for other in others)
    )


def _escaped(text: bytes) -> bytes:
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\" else bytes([byte]) for byte in text)
