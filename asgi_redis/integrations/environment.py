"""
Settings in environment variables.

Unlike a command line, other users of the machine cannot read them: URLs and keys hold secrets.
"""

from __future__ import annotations

import os
import re

URL_VARIABLE = "ASGI_REDIS_URL"
KEYS_VARIABLE = "ASGI_REDIS_KEYS"
PASSWORD_VARIABLE = "ASGI_REDIS_PASSWORD"  # noqa: S105  no password


def urls_from_environment() -> list[str]:
    """Return the URLs in ``ASGI_REDIS_URL``, with spaces or commas between."""
    return [url for url in re.split(r"\s+|,(?=\w+://)", os.environ.get(URL_VARIABLE, "")) if url]


def keys_from_environment() -> list[str] | None:
    """Return the encryption keys in ``ASGI_REDIS_KEYS``, with spaces between."""
    return os.environ.get(KEYS_VARIABLE, "").split() or None


def password_from_environment() -> str | None:
    """Return the password in ``ASGI_REDIS_PASSWORD``, for the servers of a Sentinel."""
    return os.environ.get(PASSWORD_VARIABLE) or None
