"""``manage.py say "hello"``: a line from a plain command."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from talk.models import Room


class Command(BaseCommand):
    """Says something in a room."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("text")
        parser.add_argument("--room", default="lobby")

    def handle(self, *, text: str, room: str, **options: object) -> None:
        Room.objects.get_or_create(name=room)[0].say("manage.py", text)
