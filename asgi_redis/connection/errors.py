"""What the errors of a server mean to callers."""

from __future__ import annotations

import re

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from asgi_redis.exceptions import UnsupportedRedis

# Scripts pass them on in a text of their own before Redis 7; redis-py before 5.1 does not know all of them.
# UNBLOCKED ends a blocking pop on a master that becomes a replica.
_REPLICAS = {"READONLY": ReadOnlyError, "MASTERDOWN": MasterDownError, "UNBLOCKED": ReadOnlyError}
_FROM_REPLICA = re.compile(r"(?:^|-)(READONLY|MASTERDOWN|UNBLOCKED(?= force)) ")
_CLUSTER = (AskError, ClusterCrossSlotError, ClusterDownError)  # MovedError is an AskError
_NON_LOCAL = re.compile(r"non local key in a cluster|CROSSSLOT|CLUSTERDOWN")  # within scripts
_CLOSES = "Protocol error"  # Redis closes the connection after it


def authentication_error(name: object, error: Exception) -> AuthenticationError:
    """Returns an error that says what is to be written, for one of Redis's that says that it knows no user."""
    text = str(error)
    if "equired" in text or "unauthenticated" in text:
        return AuthenticationError(f"{name} wants a password, redis://:password@host or password=...: {text}")
    return AuthenticationError(f"{name} does not take the user name or password: {text}")


def explained(name: object, version: str, error: Exception) -> Exception:
    """Returns the error that a reply of the server ``name`` is to callers; mostly the same."""
    text = str(error)
    if isinstance(error, AuthenticationError) or "unauthenticated" in text:
        return authentication_error(name, error)
    if not isinstance(error, ResponseError):
        return error
    if "unknown" in text.lower() and "command" in text.lower():
        return UnsupportedRedis(
            f"Redis {version} at {name} lacks a command; asgi_redis needs Redis 5.0 or newer, with all of its "
            f"commands: {text}"
        )
    refusal = _FROM_REPLICA.search(text)
    if refusal is not None:
        replica_error: Exception = _REPLICAS[refusal.group(1)](text)
        return replica_error
    is_partial = isinstance(error, _CLUSTER) and not isinstance(error, MasterDownError)
    return cluster_error(name) if is_partial or _NON_LOCAL.search(text) else error


def cluster_error(name: object) -> UnsupportedRedis:
    """Returns what is raised for a server that has a part of the keys only."""
    return UnsupportedRedis(
        f"Redis at {name} is in cluster mode, which this layer does not work with: it needs servers that have all "
        f"keys (cluster-enabled no); several of them are shards"
    )


def wrong_type_error(name: object, key: bytes, kind: bytes) -> ResponseError:
    """Returns what is raised for a key of another type in the place of a queue or a group."""
    return ResponseError(f"WRONGTYPE {describe_wrong_type(name, key, kind)}")


def describe_wrong_type(name: object, key: bytes, kind: bytes) -> str:
    """Tells which key it is, and what it may be."""
    guess = "; asgi_redis 1.4.3 and channels_redis before 3 have lists there" if kind == b"list" else ""
    return f"key {key.decode(errors='replace')!r} at {name} is a {kind.decode()}, not a sorted set{guess}"


def closes_connection(error: BaseException) -> bool:
    """Whether Redis closes the connection after this reply."""
    return isinstance(error, RedisError) and _CLOSES in str(error)
