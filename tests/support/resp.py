"""Reading what operations send, without a server."""

from __future__ import annotations

from asgi_redis.wire.scripts import Script


def commands(packed: bytes) -> list[list[bytes]]:
    """Returns the commands of a request as lists of their arguments."""
    found: list[list[bytes]] = []
    while packed:
        count, packed = _line(packed, b"*")
        arguments = []
        for _ in range(count):
            length, packed = _line(packed, b"$")
            assert packed[length : length + 2] == b"\r\n"
            arguments.append(packed[:length])
            packed = packed[length + 2 :]
        found.append(arguments)
    return found


def _line(packed: bytes, mark: bytes) -> tuple[int, bytes]:
    line, end, rest = packed.partition(b"\r\n")
    assert end
    assert line[:1] == mark
    return int(line[1:]), rest


def script_call(arguments: list[bytes]) -> tuple[bytes, list[bytes], list[bytes]]:
    """Returns SHA-1, KEYS and ARGV of an EVALSHA."""
    name, sha, numkeys, *rest = arguments
    assert name == b"EVALSHA"
    return sha, rest[: int(numkeys)], rest[int(numkeys) :]


def named(script: Script, call: tuple[bytes, list[bytes], list[bytes]]) -> dict[str, bytes]:
    """Returns KEYS and ARGV of a ``script_call`` by the names that the script's header gives them."""
    header = [line.split() for line in script.text.decode().splitlines() if line.startswith(("-- KEYS[", "-- ARGV["))]
    slots = {"KEYS": call[1], "ARGV": call[2]}
    assert call[0] == script.sha
    return {words[2]: slots[words[1][:4]][int(words[1][5:-1]) - 1] for words in header}
