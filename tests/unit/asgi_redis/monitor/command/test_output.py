"""What commands print, whatever is in it."""

from __future__ import annotations

import io
import sys

from asgi_redis.monitor.command.output import complain, show


def test_a_complaint_cannot_control_the_terminal(capsys):
    complain("a key \x1b[2J\r of another program")
    assert capsys.readouterr().err == "asgi-redis: a key ?[2J? of another program\n"


def test_what_a_terminal_has_no_character_for_is_no_crash(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    show("café 日本…")
    assert written.getvalue() == b"caf\xe9 ???\n"
