"""Consumers as a project writes them: functions that get a message."""

from __future__ import annotations

import time

from workers import Message


def make_thumbnail(message: Message) -> None:
    """Work for a few milliseconds, and reply when the job was picked up."""
    picked_up = time.time()
    time.sleep(0.002)  # stands for the work
    message.reply_channel.send({"id": message["id"], "waited": picked_up - message["sent"]})


def send_mail(message: Message) -> None:
    """Receive a message to the group "staff"."""
    message.reply_channel.send({"by": "mail", "text": message["text"]})


def write_audit_log(message: Message) -> None:
    """Another member of the group "staff"."""
    message.reply_channel.send({"by": "audit", "text": message["text"]})
