"""The errors of servers as callers get them: with the server, and with advice."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from asgi_redis.connection import redis_py
from asgi_redis.exceptions import UnsupportedRedis


class NoFreeConnection(ConnectionError):
    """As many connections as the host may have are in use."""


class NoNodeAnswers(ConnectionError):
    """All nodes of a cluster were asked where its slots are, in vain."""


Call = TypeVar("Call", bound=Callable[..., Any])

_SHARDED = "SPUBLISH|SSUBSCRIBE"
_REFUSALS = (redis_py.Unsent, BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError)


def before_sending(call: Call) -> Call:
    """Decorate a call that comes before a request: its errors are ``is_unsent``."""

    @functools.wraps(call)
    def marking(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except RedisError as error:
            unsent(error)
            raise

    return cast("Call", marking)


def is_unsent(error: Exception) -> bool:
    """Return whether Redis has not carried out the request, so it may be made again."""
    noted: bool | None = vars(error).get("unsent")
    return isinstance(error, _REFUSALS) if noted is None else noted


def unsent(error: RedisError) -> RedisError:
    """Return an error of which it is certain that Redis has seen no request."""
    vars(error)["unsent"] = True
    return error


def is_refusal(error: Exception) -> bool:
    """Return whether a server has not served a request, and another one might."""
    if isinstance(error, (AuthenticationError, NoFreeConnection, NoNodeAnswers, OutOfMemoryError)):
        return False
    return is_unsent(error)


def is_of_server(error: Exception) -> bool:
    """Return whether other requests to the same server would fail now, too."""
    return isinstance(error, TimeoutError) or is_refusal(error)


def note_partly_sent(error: Exception) -> None:
    """Note that other requests of the same call may have been carried out."""
    vars(error)["unsent"] = False


def authentication_error(name: object, error: Exception) -> AuthenticationError:
    """Return the error for a server that refuses the user, with the settings to write."""
    if redis_py.wants_password(error):
        return AuthenticationError(f"{name} wants a password, redis://:password@host or password=...: {error}")
    return AuthenticationError(f"{name} does not take the user name or password: {error}")


def explain(name: object, version: str, error: Exception, in_cluster: bool) -> Exception:
    """Return the error that callers get for an error reply; mostly the same."""
    if redis_py.refuses_user(error):
        return authentication_error(name, error)
    if not isinstance(error, ResponseError):
        return error
    if redis_py.lacks_command(error):
        needs = "asgi_redis needs Redis 5.0 or newer, with all of its commands"
        if re.search(_SHARDED, str(error), re.IGNORECASE):
            needs = "sharded pub/sub (cluster=True) needs Redis 7.0 or newer, or Valkey"
        return UnsupportedRedis(f"Redis {version} at {name} lacks a command; {needs}: {error}")
    of_cluster = not in_cluster and redis_py.is_cluster_error(error)
    return redis_py.replica_error(error) or (cluster_error(name) if of_cluster else error)


def cluster_error(name: object) -> UnsupportedRedis:
    """Return the error for a server that has only some of the keys."""
    return UnsupportedRedis(
        f"Redis at {name} is a node of a Redis Cluster, which has only some of the keys: use the "
        f"RedisClusterChannelLayer of asgi_redis, or of asgi_redis.aio, or RedisLocalChannelLayer, with the setting "
        f"shards; or a server that has all keys (cluster-enabled no)"
    )


def wrong_type_error(name: object, key: bytes, kind: bytes) -> ResponseError:
    """Return the error for a key of another type in the place of a queue or a group."""
    return ResponseError(f"WRONGTYPE {describe_wrong_type(name, key, kind)}")


def describe_wrong_type(name: object, key: bytes, kind: bytes) -> str:
    """Return which key of another type it is, and how it may have got there."""
    guess = "; asgi_redis 1.4.3 and channels_redis before 3 have lists there" if kind == b"list" else ""
    return f"key {key.decode(errors='replace')!r} at {name} is a {kind.decode()}, not a sorted set{guess}"
