"""
Names of channels and groups: which are valid, and where messages are.

The rules for names are those of the ASGI 1.x specification, "Channels" and "Groups": ASCII letters, digits, hyphens,
underscores and periods, fewer than 100 characters, with at most one ``!`` (process-local) or ``?`` (single-reader).
"""

from __future__ import annotations

import binascii
import functools
import re
import string
from collections.abc import Sequence

from asgi_redis.exceptions import InvalidName

_CHARACTER = r"[a-zA-Z0-9\-_.]"
CHANNEL_PATTERN = rf"{_CHARACTER}+(?:[?!]{_CHARACTER}*)?"
GROUP_PATTERN = rf"{_CHARACTER}+"

_CHARACTERS = f"{string.ascii_letters}{string.digits}-_.".encode()  # that _CHARACTER matches
_LENGTH_LIMIT = 100  # characters; a name is shorter
_CHANNEL = re.compile(CHANNEL_PATTERN)
_GROUP = re.compile(GROUP_PATTERN)
_MEMBER = re.compile(rf"^({_CHARACTER}+(?:\?{_CHARACTER}*|!)?){_CHARACTER}*$".encode(), re.MULTILINE)
_RULE = "a str of fewer than 100 ASCII letters, digits, hyphens, underscores and periods"


def has_valid_length(name: object) -> bool:
    """Return whether ``name`` is a str of fewer than 100 characters."""
    return isinstance(name, str) and len(name) < _LENGTH_LIMIT


def is_channel_name(name: object) -> bool:
    """Return whether ``name`` is a valid name of a channel."""
    return (
        isinstance(name, str)
        and len(name) < _LENGTH_LIMIT
        and _CHANNEL.fullmatch(name) is not None
        and not name.endswith("?")
    )


def are_channels_of(queue: str, names: Sequence[object]) -> bool:
    """Return whether ``names`` are names of channels of a process-local queue."""
    try:
        lines = "\n".join(names)  # type: ignore[arg-type]  # a name that is no str is an error
    except TypeError:
        return False
    is_right = _names_of(queue).fullmatch(lines) is not None  # one call in C
    return is_right and lines.count("\n") == len(names) - 1 and max(map(len, names)) < _LENGTH_LIMIT  # type: ignore[arg-type]


@functools.lru_cache(maxsize=64)
def _names_of(queue: str) -> re.Pattern[str]:
    name = re.escape(queue) + _CHARACTER + "*"
    return re.compile(f"{name}(?:\n{name})*")


def check_channel_name(name: object, receive: bool = False) -> None:
    """
    Raise ``InvalidName`` unless ``name`` is the name of a channel.

    With ``receive`` it must be a name to receive from, where a process-local name ends at its ``!``.
    """
    if not isinstance(name, str) or len(name) >= _LENGTH_LIMIT or not _CHANNEL.fullmatch(name):
        raise InvalidName(f"{name!r} is not a valid channel name: it must be {_RULE}, with at most one ! or ?")
    if name.endswith("?"):
        raise InvalidName(f"{name!r} is not a valid channel name: a single-reader name must not end with ?")
    if receive and "!" in name and not name.endswith("!"):
        raise InvalidName(f"{name!r} cannot be received from: a process-local name must end at the ! there")


def check_group_name(name: object) -> None:
    """Raise ``InvalidName`` unless ``name`` is the name of a group."""
    if not isinstance(name, str) or len(name) >= _LENGTH_LIMIT or not _GROUP.fullmatch(name):
        raise InvalidName(f"{name!r} is not a valid group name: it must be {_RULE}")


def queue_of(channel: str) -> str:
    """Return the name of a channel's queue: the part up to and including the ``!``."""
    before, mark, _ = channel.partition("!")
    return before + mark


def members_by_queue(members: Sequence[bytes]) -> dict[bytes, Sequence[bytes]]:
    """Return the members of a group by queue, but for names that no channel has."""
    lines = b"\n".join(members)
    if _are_alike(members, lines):
        after_mark = members[0].index(b"!") + 1
        queues = [member[:after_mark] for member in members]
    else:
        queues = _MEMBER.findall(lines)  # one call in C
        if len(queues) != len(members) or lines.count(b"\n") >= len(members):
            # Another program may have put anything into the group.
            members = [member for member in members if b"\n" not in member and _MEMBER.match(member)]
            queues = _MEMBER.findall(b"\n".join(members))
    if queues and queues.count(queues[0]) == len(queues):
        return {queues[0]: members}
    found: dict[bytes, Sequence[bytes]] = dict(zip(queues, zip(members)))
    if len(found) == len(members):
        return found
    shared: dict[bytes, list[bytes]] = {}
    for queue, member in zip(queues, members):
        shared.setdefault(queue, []).append(member)
    return dict(shared)


def _are_alike(members: Sequence[bytes], lines: bytes) -> bool:
    """Return whether all are valid, equally long, and have their ``!`` in one place."""
    # Such are the names that layers make. A few calls in C tell it in half the time of a regular expression.
    number, length = len(members), len(members[0]) if members else 0
    mark = members[0].find(b"!") if members else -1
    return (
        mark > 0
        and lines[mark :: length + 1] == b"!" * number
        and lines[length :: length + 1] == b"\n" * (number - 1)
        and lines.translate(None, _CHARACTERS) == b"!\n" * (number - 1) + b"!"
    )


def is_normal(channel: str) -> bool:
    """Return whether a channel is neither process-local nor single-reader."""
    return not ("!" in channel or "?" in channel)


def shard_of(name: bytes, shards: int) -> int:
    """Return the index of the shard of ``name``, as channels_redis computes it."""
    return int((binascii.crc32(name) & 0xFFF) / (4096 / shards))


@functools.lru_cache(maxsize=4096)  # the latest ones: readers ask for the same queues again and again
def place(queue: str, shards: int) -> tuple[bytes, Sequence[int]]:
    """Return the name of a queue in bytes, and the numbers of its shards."""
    name = queue.encode()
    return name, range(shards) if is_normal(queue) else (shard_of(name, shards),)


def share(capacity: int, shard: int, shards: int) -> int:
    """Return how many of the ``capacity`` messages of a normal channel a shard holds."""
    return capacity // shards + (shard < capacity % shards)


def shares(queue: str, capacity: int, shards: int) -> dict[int, int]:
    """Return how many of the ``capacity`` messages of a queue each shard of it holds."""
    if is_normal(queue):
        return {shard: share(capacity, shard, shards) for shard in range(shards)}
    return {shard_of(queue.encode(), shards): capacity}  # pinned: always the same shard
