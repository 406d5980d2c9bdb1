"""
The errors of a Redis Cluster for requests that were not carried out.

See "Redirection and resharding" in https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import re
from typing import NamedTuple

from redis.exceptions import ClusterDownError, MasterDownError, MovedError, ResponseError, TryAgainError

from asgi_redis.connection.errors import is_refusal

# redis-py 5.1 and later make an error class of the first word.
_REDIRECTION = r"^(?:(MOVED|ASK) )?(\d+) (\S*):(\d+)$"


class Redirection(NamedTuple):
    """The server to ask about ``slot``: for good, where ``is_move``, or once."""

    is_move: bool
    host: str
    port: int
    slot: int


def redirection(error: Exception) -> Redirection | None:
    """Return where an error reply sends the request; None for any other error."""
    found = re.match(_REDIRECTION, str(error)) if isinstance(error, ResponseError) else None
    if found is None:
        return None
    is_move = isinstance(error, MovedError) or found[1] == "MOVED"
    return Redirection(is_move, found[3], int(found[4]), int(found[2]))


def is_try_again(error: Exception) -> bool:
    """Return whether a node has some of the keys only: their slot is on the move."""
    return isinstance(error, TryAgainError) or str(error).startswith("TRYAGAIN ")


def is_cluster_down(error: Exception) -> bool:
    """Return whether a node serves nothing, as the cluster lacks nodes or slots."""
    is_down = isinstance(error, ClusterDownError) and not isinstance(error, MasterDownError)
    return is_down or str(error).startswith("CLUSTERDOWN ")


def is_ask(error: Exception) -> bool:
    """Return whether another node serves the request, before it has the slot."""
    target = redirection(error)
    return target is not None and not target.is_move


def is_refused_by_cluster(error: Exception) -> bool:
    """Return whether a request was not carried out, and another attempt may help."""
    return redirection(error) is not None or is_try_again(error) or is_cluster_down(error) or is_refusal(error)


def has_partly_moved(error: Exception) -> bool:
    """Return whether the slot of a request is on its way from one node to another."""
    return is_try_again(error) or is_ask(error)
