"""The slots of a Redis Cluster, as redis-py asks for them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ClusterDownError, ConnectionError, RedisClusterException, RedisError

from asgi_redis.exceptions import ConfigurationError, UnsupportedRedis

Address = tuple[str, int]
AddressRemap = Callable[[Address], Address]

_ADVICE = (
    "set cluster-announce-hostname there, or cluster-preferred-endpoint-type ip, or give the layer an address_remap"
)


class SlotRange(NamedTuple):
    """The slots from ``first`` to ``last``, and the address of their server."""

    first: int
    last: int
    address: Address


class Discovery(NamedTuple):
    """The answer of a cluster: its slots, and the addresses of all its nodes."""

    ranges: list[SlotRange]
    nodes: list[Address]


def reachable(address: Address, address_remap: AddressRemap | None) -> Address:
    """
    Return where to connect to a node for which a cluster gives ``address``.

    Raises ``UnsupportedRedis`` where that is nowhere.
    """
    try:
        host, port = address if address_remap is None else address_remap(address)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"address_remap must return a (host, port) pair: {error}") from error
    if not host or host == "?":
        raise UnsupportedRedis(f"the cluster gives no address for its node with port {port}: {_ADVICE}")
    return host, port


def discover(
    addresses: Sequence[Address],
    connection_class: type[Any],
    options: Mapping[str, Any],
    address_remap: AddressRemap | None,
) -> Discovery:
    """
    Ask the first of ``addresses`` that answers for the slots of its cluster.

    The connections are closed afterwards. Raises ``redis.exceptions.RedisError`` where none answers, and as
    ``reachable`` does.
    """
    from redis.cluster import ClusterNode, NodesManager  # only layers over a cluster pay for the import

    options = {name: value for name, value in options.items() if name not in ("host", "port")}
    try:
        manager = NodesManager(
            [ClusterNode(host, port) for host, port in addresses],  # type: ignore[no-untyped-call]  # redis-py's
            from_url=True,  # "the options are those of a connection"
            address_remap=functools.partial(reachable, address_remap=address_remap),
            connection_class=connection_class,
            **options,
        )
    except TypeError as error:  # it takes for granted that a cluster of one master gives an address
        raise UnsupportedRedis(f"redis-py cannot read the addresses of the cluster ({error}): {_ADVICE}") from error
    except IndexError:  # it takes for granted that some slot is served
        raise ClusterDownError("no slot is served") from None
    except RedisClusterException as error:  # which is no RedisError; its cause is the error of the last address
        cause = error.__cause__
        if isinstance(cause, RedisError):
            raise cause from None
        raise ConnectionError(str(error)) from error
    with contextlib.closing(manager):
        ranges: list[SlotRange] = []
        for slot in sorted(manager.slots_cache):
            node = manager.slots_cache[slot][0]
            if ranges and ranges[-1].last == slot - 1 and ranges[-1].address == (node.host, node.port):
                ranges[-1] = ranges[-1]._replace(last=slot)
            else:
                ranges.append(SlotRange(slot, slot, (node.host, node.port)))
        return Discovery(ranges, [(node.host, node.port) for node in manager.nodes_cache.values()])


def is_no_cluster(error: Exception) -> bool:
    """Return whether ``discover`` has failed because a server does not know its slots."""
    return "not enabled" in str(error)


def tls_hint(error: Exception, uses_tls: bool) -> str:
    """Return advice where ``discover`` may have failed for the lack of TLS."""
    text = str(error)
    if uses_tls and "CERTIFICATE" not in text and ("imeout" in text or "SSL" in text):
        return "; if its nodes speak no TLS, write redis://"
    if not uses_tls and ("reset by peer" in text or "closed by server" in text):
        return "; if its nodes speak TLS, write rediss://"
    return ""
