"""Class-based consumers, under the names of Channels 1.1.8's ``channels.generic``."""

from __future__ import annotations

from workers.generic.base import BaseConsumer

__all__ = ["BaseConsumer"]
