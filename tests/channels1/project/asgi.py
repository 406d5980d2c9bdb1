"""What daphne is given."""

from __future__ import annotations

from channels.asgi import get_channel_layer

channel_layer = get_channel_layer()
