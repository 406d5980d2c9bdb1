"""Asking the servers of a layer how they are."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from redis.exceptions import RedisError, ResponseError

from asgi_redis.connection import Server, Shard
from asgi_redis.engine.facts import ServerFacts
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process.time_limits import start_or_run
from asgi_redis.wire.server import info, ping

_INFO = info()
_PING = ping()


def server_facts(shards: Sequence[Shard], timeout: float) -> list[ServerFacts]:
    """
    Return the facts about the servers of some shards, each once.

    All are asked at the same time, and have ``timeout`` seconds to answer. Raises nothing where one is away.
    """
    deadline = time.monotonic() + timeout
    found: list[ServerFacts | None] = []
    outcomes: SimpleQueue[tuple[int, ServerFacts]] = SimpleQueue()
    names: list[str] = []
    for shard in {shard.place: shard for shard in shards}.values():
        try:
            servers = shard.masters
        except (RedisError, UnsupportedRedis) as error:
            names += [host.name for host in shard.start_nodes]
            found += [ServerFacts(host.name, str(error)) for host in shard.start_nodes]
            continue
        for server in servers:
            ask = functools.partial(_ask, shard, server)
            start_or_run(functools.partial(_put, outcomes, len(found), ask), f"asking {server.host} for facts")
            names.append(server.host.name)
            found.append(None)
    while None in found:
        try:
            position, facts = outcomes.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        found[position] = facts
    late = f"no answer within {timeout:g} s"
    return [ServerFacts(name, late) if facts is None else facts for name, facts in zip(names, found)]


def _put(outcomes: SimpleQueue[tuple[int, ServerFacts]], position: int, ask: Callable[[], ServerFacts]) -> None:
    outcomes.put((position, ask()))


def _ask(shard: Shard, server: Server) -> ServerFacts:
    name = server.host.name
    try:
        told = _told(server)
        began = time.monotonic()  # the connection is there now
        server.execute(_PING, fail_fast=True)
        latency = time.monotonic() - began
    except (RedisError, UnsupportedRedis) as error:
        shard.lost(error, server)
        return ServerFacts(name, str(error))
    return ServerFacts(
        name,
        latency=latency,
        role=told.get("role", ""),
        version=told.get("valkey_version") or told.get("redis_version", ""),
        used_memory=_number(told, "used_memory"),
        max_memory=_number(told, "maxmemory"),
        clients=_number(told, "connected_clients"),
        blocked_clients=_number(told, "blocked_clients"),
        commands_per_second=_number(told, "instantaneous_ops_per_sec"),
    )


def _told(server: Server) -> Mapping[str, str]:
    """Return the ``INFO`` of a server; empty where the user may not ask for it."""
    try:
        told: Mapping[str, str] = server.execute(_INFO, fail_fast=True)
    except (ResponseError, UnsupportedRedis):
        return {}  # a server that cannot be used at all refuses the next request, too
    return told


def _number(told: Mapping[str, str], name: str) -> int:
    value = told.get(name, "")
    return int(value) if value.isdecimal() else 0
