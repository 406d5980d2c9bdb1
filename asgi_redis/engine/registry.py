"""The registry of a layer on Redis: each process has its entry on one shard."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from asgi_redis.connection import Shard
from asgi_redis.engine.facts import ProcessEntry, Report
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire import Keys, Operation, shard_of
from asgi_redis.wire.registry import RegistryOperations

_ENTRIES_AT_ONCE = 100  # some hundred kilobytes
_MOST_DIGITS = 20

T = TypeVar("T")


class RedisRegistry:
    """
    The registry of a layer; see ``asgi_redis.engine.facts.Registry``.

    A process whose shard is away reports to the next one; so an entry may be on two shards, and the newer one counts.
    """

    def __init__(self, shards: Sequence[Shard], keys: Sequence[Keys]) -> None:
        self._shards = shards
        self._read_only = [shard.for_reading() for shard in shards]
        self._operations = [RegistryOperations(of_shard) for of_shard in keys]
        self._failures = 0  # of reports: each has moved the entries of this process by a shard

    def report(self, process: str, report: Report) -> str | None:
        """Write the entry of a process; return the request that waits for it."""
        number = self._number(process)
        operation = self._operations[number].report(process.encode(), json.dumps(report).encode())
        try:
            request: str | None = self._shards[number].execute(operation, fail_fast=True)
        except RedisError:
            self._failures += 1
            raise
        return request

    def withdraw(self, process: str) -> None:
        """Delete the entry of a process."""
        number = self._number(process)
        self._shards[number].execute(self._operations[number].withdraw(process.encode()), fail_fast=True)

    def _number(self, process: str) -> int:
        number = shard_of(process.encode(), len(self._shards))
        return (number + self._failures) % len(self._shards)

    def processes(self) -> list[ProcessEntry]:
        """Return the entries on all shards that can be reached. Raises if none can."""
        newest: dict[str, ProcessEntry] = {}
        for entries in self._of_each_shard(self._read_only, self._entries):
            for entry in entries:
                known = newest.get(entry.process)
                if known is None or entry.age < known.age:
                    newest[entry.process] = entry
        return [newest[process] for process in sorted(newest)]

    def ask(self, process: str, request: str) -> bool:
        """Leave a request for a process on the shards that have an entry of it."""

        def ask(shard: Shard, operations: RegistryOperations) -> bool:
            return bool(shard.execute(operations.ask(process.encode(), request.encode()), fail_fast=True))

        return any([*self._of_each_shard(self._shards, ask)])

    def _of_each_shard(self, shards: Sequence[Shard], call: Callable[[Shard, RegistryOperations], T]) -> Iterator[T]:
        """Yield the results of the shards that can be reached. Raises if none can."""
        errors: dict[object, RedisError | UnsupportedRedis] = {}
        reached = False
        for shard, operations in zip(shards, self._operations):
            place = shard.known_server or shard.name
            if place in errors:
                continue  # shards of a cluster share servers, and a server that hangs is waited for once
            try:
                result = call(shard, operations)
            except (RedisError, UnsupportedRedis) as error:
                errors[place] = error
            else:
                reached = True
                yield result
        if not reached:
            raise next(iter(errors.values()))

    @staticmethod
    def _entries(shard: Shard, operations: RegistryOperations) -> list[ProcessEntry]:
        def execute(operation: Operation) -> Any:
            return shard.execute(operation, fail_fast=True)

        ages = execute(operations.processes())
        names, found = sorted(ages), []
        for start in range(0, len(names), _ENTRIES_AT_ONCE):
            some = names[start : start + _ENTRIES_AT_ONCE]
            for name, text in zip(some, execute(operations.entries(some))):
                report = None if text is None else _report(text)
                if report is not None:
                    found.append(ProcessEntry(name.decode(errors="replace"), ages[name], report))
        return found


def _report(text: bytes) -> Report | None:
    """Return the report of an entry; None where another program has written it."""
    try:
        report = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("no report has a number that large, and no float can express some")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("JSON has no such number, so no program could read the report")
    return number
