"""The tables: rooms, the lines that were said in them, and the pages that are open in them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from workers import Group


class Room(models.Model):
    """A room: a channel group, and all that is known of it."""

    name = models.SlugField(unique=True)
    changes = models.PositiveBigIntegerField(default=0)

    @property
    def group(self) -> Group:
        """The group of the reply channels of its pages."""
        return Group(f"talk.{self.name}")

    def say(self, speaker: str, text: str) -> None:
        """Write a line down, and send it to every page. Any code may call it."""
        line = self.lines.create(speaker=speaker, text=text)
        self.group.send(frame(lines=[line.content]))

    def history(self, after: int = 0, limit: int = 50) -> list[dict[str, object]]:
        """Return the last lines, oldest first; ``after`` is the number of one that is known already."""
        lines = self.lines.filter(pk__gt=after).order_by("-pk")[:limit]
        return [line.content for line in reversed(lines)]

    def enter(self, channel: str, name: str) -> None:
        """Count a page in: the reply channel is its identity."""
        Page.objects.create(room=self, channel=channel, name=name)
        self._send_people()

    def keep(self, channel: str, name: str) -> None:
        """Note that a page is there, and count those out that have said nothing for a long time."""
        now = timezone.now()
        if not Page.objects.filter(channel=channel).update(seen=now):
            self.enter(channel, name)
        silent = self.pages.filter(seen__lt=now - timedelta(seconds=3 * settings.HEARTBEAT_SECONDS))
        if silent.delete()[0]:
            self._send_people()

    def leave(self, channel: str) -> None:
        """Count a page out."""
        if Page.objects.filter(channel=channel).delete()[0]:
            self._send_people()

    @transaction.atomic
    def _send_people(self) -> None:
        # The update comes first: it makes one change wait for the other, and a page knows which of two lists is new.
        Room.objects.filter(pk=self.pk).update(changes=models.F("changes") + 1)
        self.refresh_from_db()
        names: Iterable[str] = self.pages.order_by("name").values_list("name", flat=True).distinct()
        self.group.send(frame(people=list(names), change=self.changes))


class Line(models.Model):
    """Something that was said."""

    room = models.ForeignKey(Room, models.CASCADE, related_name="lines")
    speaker = models.CharField(max_length=40)
    text = models.CharField(max_length=500)
    at = models.DateTimeField(default=timezone.now)

    @property
    def content(self) -> dict[str, object]:
        """The line as the page gets it."""
        return {"id": self.pk, "speaker": self.speaker, "text": self.text, "at": self.at.timestamp()}


class Page(models.Model):
    """An open page, by its reply channel."""

    room = models.ForeignKey(Room, models.CASCADE, related_name="pages")
    channel = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=40)
    seen = models.DateTimeField(default=timezone.now)


def frame(**content: object) -> dict[str, str]:
    """Return the message that sends ``content`` to a page."""
    return {"text": json.dumps(content)}
