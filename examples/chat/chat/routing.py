"""What the worker does: ``manage.py runworker --routing chat.routing.channel_routing --pool gevent``."""

from __future__ import annotations

import random

from workers import Group, Message, route


def roll(message: Message) -> None:
    """Rolls the dice for a player who has said "/roll"."""
    text = f"{message['player']} rolls {random.randint(1, 6)}"
    Group(f"chat.{message['room']}").send({"type": "chat.message", "sender": "dice", "text": text})


channel_routing = [route("dice", roll)]
