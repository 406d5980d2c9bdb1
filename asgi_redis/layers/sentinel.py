"""``RedisSentinelChannelLayer``: shards that are the services of one Sentinel cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_redis.connection import SentinelCluster, parse_sentinels
from asgi_redis.connection.hosts import DEFAULTS
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.layers.redis import RedisChannelLayer


class RedisSentinelChannelLayer(RedisChannelLayer):
    """
    A ``RedisChannelLayer`` whose servers are the masters of services that Sentinels watch.

    ``hosts`` are the (host, port) pairs of the Sentinels; those that are down are passed over. ``services`` are the
    shards, in the same order everywhere; by default all that the Sentinels watch, sorted, which takes an answer of
    theirs now. ``sentinel_refresh_interval`` is how many seconds an answer about a master holds for new connections;
    with 0 they are asked for each one. An error that shows another master makes it void at once.
    ``sentinel_kwargs`` are redis-py's options for the connections to the Sentinels, such as ``password`` and ``ssl``;
    ``connection_kwargs`` those to the masters. All other settings are those of ``RedisChannelLayer``.

    Raises ``ValueError`` for a setting that cannot work, ``TypeError`` for one that is not known, and
    ``redis.exceptions.ConnectionError`` when ``services`` are asked for and no Sentinel answers.
    """

    def __init__(
        self,
        *,
        hosts: Sequence[tuple[str, int]] | None = None,
        services: Sequence[str] | None = None,
        sentinel_refresh_interval: float = 0,
        sentinel_kwargs: Mapping[str, Any] | None = None,
        connection_kwargs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        interval = sentinel_refresh_interval
        if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not interval >= 0:
            raise ConfigurationError(f"sentinel_refresh_interval must be seconds, at least 0, not {interval!r}")
        if isinstance(services, (str, bytes)) or not all(isinstance(name, str) for name in services or []):
            raise ConfigurationError(f"services must be a list of names, not {services!r}")
        options = {**DEFAULTS, **(connection_kwargs or {})}
        cluster = SentinelCluster(parse_sentinels(hosts), options, sentinel_kwargs, interval)
        names = list(services or cluster.services())
        if len(set(names)) < len(names):
            raise ConfigurationError(f"a service is in services twice: {names}")
        super().__init__(
            hosts=[{"sentinels": cluster, "master_name": name} for name in names],
            connection_kwargs=connection_kwargs,
            **settings,
        )
