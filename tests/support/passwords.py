"""A password that must not be in what is said about a host."""

from __future__ import annotations

SECRET = "pa55word"
