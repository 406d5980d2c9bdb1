"""Work in a thread, as the worker of a task queue does it."""

from __future__ import annotations

from asgi_redis import get_channel_layer


def report(room: str) -> None:
    """Send the number of open pages to their room."""
    layer = get_channel_layer()
    pages = len(layer.group_channels(f"chat.{room}"))
    text = f"{pages} pages are open in this room"
    layer.send_group(f"chat.{room}", {"type": "chat.message", "sender": "report", "text": text})
