"""See ``asgi_redis.outage``."""

from __future__ import annotations

from asgi_redis.outage import LONGEST_DELAY, Outage

__all__ = ["LONGEST_DELAY", "Outage"]
