"""Messages as calls take and return them."""

from __future__ import annotations

from typing import Any, Union

Message = dict[str, Any]
Received = Union[tuple[str, Message], tuple[None, None]]
"""A message with its channel, or twice None."""
Batch = list[tuple[str, Message]]
"""Messages, each with its channel."""
