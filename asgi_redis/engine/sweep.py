"""Going through all queues and groups of a layer, a few keys at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from redis.exceptions import RedisError, ResponseError

from asgi_redis.connection import Server, Shard
from asgi_redis.engine.facts import Found
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire import Keys
from asgi_redis.wire.inspection import FoundKey, KeyReader, sizes
from asgi_redis.wire.names import place, shard_of
from asgi_redis.wire.server import exists, scan, types

KEYS_AT_ONCE = 200
"""
Keys that a server looks at in one step, and the most keys of one request.

It takes well under a millisecond, and some milliseconds where the memory of the server is cold.
"""


class ShardSweep:
    """
    One walk through the shards: ``SCAN``, and ``ZCARD`` of queues and groups.

    A queue that is on several shards is counted on all of them where the first is found. A server that fails is left
    out from then on, and its error is raised at the end. ``wanted`` tells of a queue whether it is looked for.
    """

    def __init__(self, shards: Sequence[Shard], keys: Sequence[Keys], wanted: Callable[[str], bool]) -> None:
        self._shards = shards
        self._keys = keys
        self._wanted = wanted
        self._pending = set(range(len(shards)))
        self._failed: dict[int, RedisError | UnsupportedRedis] = {}
        self._counted: set[str] = set()

    def steps(self) -> Iterator[Found]:
        """Yield the queues and groups. Raises ``redis.exceptions.RedisError`` at the end."""
        while self._pending:
            number = min(self._pending)
            shard = self._shards[number]
            try:
                server = shard.server
            except (RedisError, UnsupportedRedis) as error:
                self._fail([number], error)
                continue
            there = [one for one in self._pending if one == number or self._shards[one].likely_server is server]
            try:
                yield from self._scan(server, there)
            except (RedisError, UnsupportedRedis) as error:
                shard.lost(error, server)
                self._fail(there, error)
                continue
            self._pass(server, there)
        if self._failed:
            raise next(iter(self._failed.values()))

    def _fail(self, numbers: Iterable[int], error: RedisError | UnsupportedRedis) -> None:
        self._pending.difference_update(numbers)
        for number in numbers:
            self._failed.setdefault(number, error)

    def _scan(self, server: Server, numbers: Collection[int]) -> Iterator[Found]:
        reader = KeyReader({number: self._keys[number] for number in numbers})
        for pattern in reader.patterns:
            cursor = b""
            while cursor != b"0":
                cursor, found = server.execute(scan(cursor or b"0", pattern, KEYS_AT_ONCE), fail_fast=True)
                yield self._count(reader, found)

    def _count(self, reader: KeyReader, keys: Iterable[bytes]) -> Found:
        """Return the sizes of the queues and groups among some keys."""
        asked: dict[int, dict[bytes, FoundKey]] = {}
        for key in keys:
            found = reader.read(key)
            if found is not None:
                for number in self._places(found):
                    asked.setdefault(number, {})[self._key(number, found)] = found
        queues: dict[str, int] = {}
        groups: dict[str, int] = {}
        for number, on_shard in asked.items():
            for found, size in zip(on_shard.values(), self._sizes(number, list(on_shard))):
                if size or not (size is None or found.is_group):
                    totals = groups if found.is_group else queues
                    totals[found.name] = totals.get(found.name, 0) + size
        return Found(queues, groups)

    def _key(self, number: int, found: FoundKey) -> bytes:
        keys = self._keys[number]
        return keys.group(found.name) if found.is_group else keys.queue(found.name.encode())

    def _places(self, found: FoundKey) -> Sequence[int]:
        """Return the shards to count on; none where the layer would not look there."""
        if found.is_group:
            return [found.shard] if found.shard == shard_of(found.name.encode(), len(self._shards)) else []
        numbers = place(found.name, len(self._shards))[1]
        if found.shard not in numbers or not self._wanted(found.name) or found.name in self._counted:
            return []
        if "?" not in found.name:  # a single-reader channel has one key, and there may be very many
            self._counted.add(found.name)
        return [number for number in numbers if number not in self._failed]

    def _sizes(self, number: int, keys: Sequence[bytes]) -> Sequence[int | None]:
        """Return the sizes of sorted sets, and None for keys of another type."""
        shard = self._shards[number]
        try:
            try:
                return list(shard.execute(sizes(keys), fail_fast=True))
            except ResponseError:  # one has another type
                kinds = zip(keys, shard.execute(types(keys), fail_fast=True))
                right = [key for key, kind in kinds if kind in (b"zset", b"none")]
                counted = dict(zip(right, shard.execute(sizes(right), fail_fast=True))) if right else {}
                return [counted.get(key) for key in keys]
        except (RedisError, UnsupportedRedis) as error:
            shard.lost(error)
            self._fail([number], error)
            return [None] * len(keys)

    def _pass(self, server: Server, numbers: Iterable[int]) -> None:
        """Take note of the shards that are still where they were looked for."""
        for number in numbers:
            shard = self._shards[number]
            if shard.moves:
                try:
                    shard.execute(exists(self._keys[number].shards), fail_fast=True)
                except (RedisError, UnsupportedRedis) as error:
                    self._fail([number], error)
                    continue
            if shard.likely_server is server:
                self._pending.discard(number)
