"""``announce ROOM TEXT``: sends to a group from a process that is neither daphne nor a worker."""

from __future__ import annotations

from channels import Group
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("room")
        parser.add_argument("text")

    def handle(self, *args, **options):
        Group(options["room"]).send({"text": options["text"]})
