"""The way to Redis: hosts, connections, and the carriers that bring operations there and replies back."""

from asgi_redis.connection.background import start_or_run
from asgi_redis.connection.blocking_pop import pop
from asgi_redis.connection.errors import describe_wrong_type
from asgi_redis.connection.execute import Request, Steps, carry, execute_all
from asgi_redis.connection.host import Host
from asgi_redis.connection.hosts import parse_hosts, parse_sentinels
from asgi_redis.connection.pipeline import as_exception, begin, each_its_own, execute_many, is_error
from asgi_redis.connection.sentinel import SentinelCluster, SentinelHost
from asgi_redis.connection.shard import Shard, delete_matching
from asgi_redis.connection.take import Hand, Look

__all__ = [
    "Hand",
    "Host",
    "Look",
    "Request",
    "SentinelCluster",
    "SentinelHost",
    "Shard",
    "Steps",
    "as_exception",
    "begin",
    "carry",
    "delete_matching",
    "describe_wrong_type",
    "each_its_own",
    "execute_all",
    "execute_many",
    "is_error",
    "parse_hosts",
    "parse_sentinels",
    "pop",
    "start_or_run",
]
