"""The consumers of websockets: plain functions, in as many worker processes and threads as there are."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.http import QueryDict

from talk.models import Room, frame
from workers import Channel, Message
from workers.auth import channel_session_user_from_http
from workers.security.websockets import allowed_hosts_only
from workers.sessions import channel_session, enforce_ordering


@allowed_hosts_only
@enforce_ordering
@channel_session_user_from_http
def connect(message: Message, room: str) -> None:
    """Accept a page, tell it what was said, and count it in."""
    query = QueryDict(message["query_string"])
    entered, _ = Room.objects.get_or_create(name=room)
    message.channel_session["name"] = name = name_of(message.user, query.get("name", ""))
    # At once, not when the consumer is done: the group's messages come from now on.
    message.reply_channel.send({"accept": True}, immediately=True)
    # First the group, then the history: so no line is missing. The page leaves out what comes twice.
    entered.group.add(message.reply_channel)
    after = query.get("after", "")
    message.reply_channel.send(frame(name=name, lines=entered.history(int(after) if after.isdecimal() else 0)))
    entered.enter(message.reply_channel.name, name)


@enforce_ordering
@channel_session
def receive(message: Message, room: str) -> None:
    """Pass a line to the room; or else it is the heartbeat of the page."""
    entered = Room.objects.get(name=room)
    name = message.channel_session["name"]
    text = text_of(message)
    if text:
        entered.say(name, text)
    else:
        entered.keep(message.reply_channel.name, name)
        message.reply_channel.send(frame(heard=True))
    if text.split()[:1] == ["/roll"]:
        Channel("bot").send({"room": room, "player": name})


@enforce_ordering
@channel_session
def disconnect(message: Message, room: str) -> None:
    """Count a page out."""
    entered = Room.objects.get(name=room)
    entered.group.discard(message.reply_channel)
    entered.leave(message.reply_channel.name)


def name_of(user: Any, wish: str) -> str:
    """Return the name of a user, or of a guest; no guest gets that of a user."""
    if user.is_authenticated:
        return user.get_username()[:30]
    name = " ".join(wish.split())[:30] or "guest"
    return f"{name} (guest)" if get_user_model().objects.filter(username=name).exists() else name


def text_of(message: Message) -> str:
    """Return the line in a frame. A frame that is none from our page is empty, and does no harm."""
    try:
        content = json.loads(message.get("text") or "{}")
    except ValueError:
        return ""
    text = content.get("text") if isinstance(content, dict) else None
    return text.strip()[:500] if isinstance(text, str) else ""
