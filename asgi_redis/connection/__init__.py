"""The way to Redis: hosts, connections, and the carriers that bring operations there and replies back."""

from asgi_redis.connection.blocking import Waiter, pop, put_back_all
from asgi_redis.connection.hosts import Host, parse_hosts
from asgi_redis.connection.shard import Shard, delete_matching, execute_all

__all__ = ["Host", "Shard", "Waiter", "delete_matching", "execute_all", "parse_hosts", "pop", "put_back_all"]
