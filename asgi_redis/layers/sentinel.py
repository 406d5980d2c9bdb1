"""``RedisSentinelChannelLayer``: one shard for each service of a Sentinel cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_redis.connection import SentinelCluster, parse_sentinels
from asgi_redis.connection.hosts import DEFAULTS
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.layers.options import RedisOptions, SentinelOptions, resolve, select, takes
from asgi_redis.layers.redis import RedisChannelLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RedisSentinelChannelLayer(RedisChannelLayer):
    """
    A ``RedisChannelLayer`` over the masters of services that Sentinels watch.

    Sentinels that are down are passed over. An error that shows another master makes the last answer void at once.

    Raises ``redis.exceptions.ConnectionError`` where it has to ask for the services and no Sentinel answers.
    """

    @takes(SentinelOptions)
    def __init__(self, **options: Unpack[SentinelOptions]) -> None:
        settings = resolve(self, SentinelOptions, options)
        cluster = SentinelCluster(
            parse_sentinels(settings["hosts"]),
            {**DEFAULTS, **(settings["connection_kwargs"] or {})},
            settings["sentinel_kwargs"],
            settings["sentinel_refresh_interval"],
        )
        services = list(settings["services"] or cluster.services())
        if len(set(services)) < len(services):
            raise ConfigurationError(f"a service is in services twice: {services}")
        hosts = [{"sentinels": cluster, "master_name": service} for service in services]
        super().__init__(**select(RedisOptions, {**settings, "hosts": hosts}))
