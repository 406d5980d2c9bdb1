"""A slow consumer of a background channel, for the gevent worker."""

from __future__ import annotations

import random
import time

from talk.models import Room
from workers import Message


def roll(message: Message) -> None:
    """Answer "/roll". While one greenlet waits, a hundred others may do the same."""
    time.sleep(1)
    Room.objects.get(name=message["room"]).say("dice", f"{message['player']} rolls {random.randint(1, 6)}")
