"""The current picture of a layer, for a terminal, a web page and scripts."""

from asgi_redis.monitor.monitor import Monitor
from asgi_redis.monitor.snapshot import Row, Snapshot

__all__ = ["Monitor", "Row", "Snapshot"]
