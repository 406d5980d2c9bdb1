"""
The worker of Django Channels 1, for any synchronous channel layer: routing, consumers, and the process that
runs them.

It works without Django; ``workers.django`` is the one file that knows it.
"""

from __future__ import annotations

from workers.channel import Channel, Group
from workers.message import Message
from workers.routing import include, route
from workers.worker import Worker

__all__ = ["Channel", "Group", "Message", "Worker", "include", "route"]
