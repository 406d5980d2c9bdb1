"""The ``hosts`` setting: the kinds of entries, and the host that each describes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from asgi_redis.connection.host import Host
from asgi_redis.connection.redis_py import describe_option_error
from asgi_redis.connection.sentinel import SentinelCluster, SentinelHost
from asgi_redis.exceptions import ConfigurationError

DEFAULT_URL = "redis://localhost:6379"
DEFAULTS = {
    "protocol": 2,  # RESP 3 needs Redis 6
    "socket_connect_timeout": 5.0,
    "socket_timeout": 20.0,
}
_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
_EXAMPLES = 'a URL ("redis://host:6379/0"), a ("host", 6379) pair or a dict'


def parse_hosts(
    hosts: Sequence[Any] | None,
    connection_kwargs: Mapping[str, Any] | None = None,
    shorthand: Mapping[str, Any] | None = None,
) -> list[Host]:
    """
    Return the host of each shard: those of ``hosts``, or that of ``shorthand``.

    ``connection_kwargs`` are redis-py's options for connections; those of an entry win over them. Raises
    ``ConfigurationError``, which says what to write instead and never shows a password.
    """
    if hosts is not None and (isinstance(hosts, (str, bytes)) or not isinstance(hosts, Sequence)):
        raise ConfigurationError("hosts must be a list, even for one Redis: [url]")
    if hosts is not None and not hosts:
        raise ConfigurationError(f"hosts is empty; leave it out for {DEFAULT_URL}")
    if connection_kwargs is not None and not isinstance(connection_kwargs, Mapping):
        raise ConfigurationError('connection_kwargs must be a dict such as {"socket_timeout": 20}')
    one = {name: value for name, value in (shorthand or {}).items() if value is not None}
    if one and hosts:
        raise ConfigurationError("give either hosts, or host, port and db, not both")
    defaults = {**DEFAULTS, **(connection_kwargs or {})}
    result = []
    for position, entry in enumerate([one] if one else hosts or [DEFAULT_URL]):
        try:
            result.append(_parse(entry, defaults))
        except ConfigurationError as error:
            raise ConfigurationError(f"hosts[{position}]: {error}") from None
        except (TypeError, ValueError, RedisError) as error:
            raise ConfigurationError(f"hosts[{position}]: redis-py: {describe_option_error(error)}") from None
    return result


def _parse(entry: Any, defaults: Mapping[str, Any]) -> Host:
    if isinstance(entry, str):
        return _parse_url(entry, defaults)
    if isinstance(entry, Mapping):
        options = {**defaults, **entry}
        if "sentinels" in entry or "master_name" in entry:
            return _parse_sentinel(options)
        if "address" in entry:
            address = options.pop("address")
            if isinstance(address, Mapping):
                raise ConfigurationError('address must be a URL or a ("host", 6379) pair')
            return _parse(address, options)
        return _parse_address(options)
    if isinstance(entry, (tuple, list)) and len(entry) == 2:
        return _parse_address({**defaults, "host": entry[0], "port": entry[1]})
    raise ConfigurationError(f"must be {_EXAMPLES}, not a {type(entry).__name__}")


def _parse_url(url: str, options: Mapping[str, Any]) -> Host:
    if "://" not in url:
        raise ConfigurationError(f"not a URL; write {_EXAMPLES}")
    _check_quoting(url)
    try:
        parts = urlsplit(url)
        port = 6379 if parts.port is None else _port(parts.port)
    except ValueError:
        raise ConfigurationError("the port must be a number from 1 to 65535: redis://host:6379/0") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        raise ConfigurationError(
            f"unknown scheme {parts.scheme!r}; write redis://, rediss:// (TLS) or unix:///path/to/socket; valkey:// "
            f"and valkeys:// are the same"
        )
    if scheme != "unix" and not (parts.path.strip("/") or "0").isdigit():
        raise ConfigurationError("the database must be a number: redis://host:6379/0")
    try:
        found = parse_url(scheme + url[len(parts.scheme) :])  # type: ignore[no-untyped-call]  # redis-py's
    except (ValueError, TypeError):
        raise ConfigurationError("an option in the query of the URL has a wrong value") from None
    known = {**options, **found}
    connection_class = known.pop("connection_class", Connection)
    database = known.get("db", 0)
    if scheme == "unix":
        name = f"unix://{known['path']}?db={database}"
    else:
        name = f"{parts.scheme}://{known.get('host', 'localhost')}:{port}/{database}"
    return Host(name, connection_class, known)


def _check_quoting(url: str) -> None:
    """
    Raise where a character of the password has ended the address.

    The rest may be a good URL, of another server.
    """
    address = url.partition("://")[2]
    authority = re.split("[/?#]", address, maxsplit=1)[0]
    if not url.startswith("unix:") and "@" in re.sub(r"[?&]\w+=[^&#]*", "", address[len(authority) :]):
        raise ConfigurationError(
            "the URL has an @ behind its host: quote special characters of the password: "
            'urllib.parse.quote(password, safe="")'
        )


def _parse_address(options: dict[str, Any]) -> Host:
    host = options.setdefault("host", "localhost")
    if not isinstance(host, str) or "://" in host:
        raise ConfigurationError('the host must be a name or an address, such as "localhost"; a URL goes into hosts')
    options["port"] = _port(options.get("port", 6379))
    if options.pop("ssl", False):
        return Host(f"rediss://{options['host']}:{options['port']}/{options.get('db', 0)}", SSLConnection, options)
    if "path" in options:
        del options["host"], options["port"]
        return Host(f"unix://{options['path']}?db={options.get('db', 0)}", UnixDomainSocketConnection, options)
    return Host(f"redis://{options['host']}:{options['port']}/{options.get('db', 0)}", Connection, options)


def _parse_sentinel(options: dict[str, Any]) -> Host:
    sentinels, service = options.pop("sentinels", None), options.pop("master_name", None)
    known = isinstance(sentinels, (list, tuple, SentinelCluster))
    if not sentinels or not known or not isinstance(service, str):
        raise ConfigurationError('write {"sentinels": [("host", 26379)], "master_name": "mymaster"}')
    sentinel_kwargs = options.pop("sentinel_kwargs", None)
    if isinstance(sentinels, SentinelCluster):
        cluster = sentinels  # that of several services
    else:
        cluster = SentinelCluster(parse_sentinels(sentinels), options, sentinel_kwargs)
    return SentinelHost(cluster, service, options)


def parse_start_nodes(hosts: Sequence[Any] | None, connection_kwargs: Mapping[str, Any] | None) -> list[Host]:
    """
    Return the start nodes of a Redis Cluster.

    All nodes are connected to with the same options. Raises ``ConfigurationError`` for entries whose options differ,
    or that cannot be nodes of a cluster.
    """
    found = parse_hosts(hosts, connection_kwargs)
    for position, host in enumerate(found):
        if isinstance(host, SentinelHost) or "path" in host.options:
            raise ConfigurationError(f"hosts[{position}]: the nodes of a cluster are reached by host and port only")
        if host.options.get("db") not in (None, 0, "0"):
            raise ConfigurationError(f"hosts[{position}]: a Redis Cluster has the database 0 only")
        if _apart_from_address(host) != _apart_from_address(found[0]):
            raise ConfigurationError(
                f"hosts[{position}] has other options than hosts[0]: they hold for all nodes, so write them into "
                f"connection_kwargs"
            )
    return found


def _apart_from_address(host: Host) -> tuple[object, ...]:
    options = {name: value for name, value in host.options.items() if name not in ("host", "port", "db", "retry")}
    return host.connection_class, host.limits, options


def parse_sentinels(sentinels: Any) -> list[tuple[str, int]]:
    """Return the addresses of Sentinels, checked."""
    if not sentinels:
        raise ConfigurationError('hosts is missing: a list of ("host", 26379) pairs, the addresses of the Sentinels')
    if not isinstance(sentinels, (list, tuple)):
        raise ConfigurationError('the Sentinels must be a list of ("host", 26379) pairs')
    if any(not isinstance(entry, (list, tuple)) or len(entry) != 2 for entry in sentinels):
        raise ConfigurationError('the Sentinels must be a list of ("host", 26379) pairs, not URLs')
    return [(host, _port(port)) for host, port in sentinels]


def _port(port: object) -> int:
    if isinstance(port, str) and port.isdigit():
        port = int(port)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ConfigurationError(f"the port must be a number from 1 to 65535, not {port!r}")
    return port
