"""
The way to Redis: hosts, connections, and the runners of operations and plans.

The modules of a Redis Cluster are imported where one is used.
"""

from asgi_redis.connection.blocking_pop import BlockingPop, wait_for_first
from asgi_redis.connection.errors import describe_wrong_type, is_of_server, is_refusal, is_unsent
from asgi_redis.connection.execute import Plan, Request, execute_on_shards, run_plan
from asgi_redis.connection.hosts import parse_hosts, parse_sentinels, parse_start_nodes
from asgi_redis.connection.pipeline import pipeline_execute
from asgi_redis.connection.redirection import has_partly_moved, is_cluster_down, redirection
from asgi_redis.connection.redis_py import Unsent, descriptor
from asgi_redis.connection.replies import ReplyReader
from asgi_redis.connection.round_trip import RoundTrip, as_exception, each_its_own, is_error
from asgi_redis.connection.sentinel import SentinelCluster
from asgi_redis.connection.server import Server
from asgi_redis.connection.shard import Attempt, Shard, delete_matching
from asgi_redis.connection.take import Take, requeue_taken

__all__ = [
    "Attempt",
    "BlockingPop",
    "Plan",
    "ReplyReader",
    "Request",
    "RoundTrip",
    "SentinelCluster",
    "Server",
    "Shard",
    "Take",
    "Unsent",
    "as_exception",
    "delete_matching",
    "describe_wrong_type",
    "descriptor",
    "each_its_own",
    "execute_on_shards",
    "has_partly_moved",
    "is_cluster_down",
    "is_error",
    "is_of_server",
    "is_refusal",
    "is_unsent",
    "parse_hosts",
    "parse_sentinels",
    "parse_start_nodes",
    "pipeline_execute",
    "redirection",
    "requeue_taken",
    "run_plan",
    "wait_for_first",
]
