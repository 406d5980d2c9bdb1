"""
The routing of the worker.

``manage.py runworker --routing chat.routing.channel_routing --pool gevent``
"""

from __future__ import annotations

import random

from workers import Group, Message, route


def roll(message: Message) -> None:
    """Roll the dice for a player who has written "/roll"."""
    text = f"{message['player']} rolls {random.randint(1, 6)}"
    Group(f"chat.{message['room']}").send({"type": "chat.message", "sender": "dice", "text": text})


channel_routing = [route("dice", roll)]
