"""``HttpClient``, the older name of ``WSClient``."""

from __future__ import annotations

from workers.test.websocket import WSClient as HttpClient

__all__ = ["HttpClient"]
