"""``manage.py say "hello"``: sends to asynchronous consumers from plain code."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from asgi_redis import get_channel_layer


class Command(BaseCommand):
    """Says something in a room."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("text")
        parser.add_argument("--room", default="lobby")

    def handle(self, *, text: str, room: str, **options: object) -> None:
        message = {"type": "chat.message", "sender": "manage.py", "text": text}
        get_channel_layer().send_group(f"chat.{room}", message)
