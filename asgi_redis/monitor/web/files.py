"""The files of the page, which is the same under every server."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import NamedTuple

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

FILES = {
    "": "page.html",
    **{name: name for name in ("page.css", "page.js", "chart.js", "dom.js", "facts.js", "table.js", "icon.svg")},
}
"""The files by the last part of their path."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of every answer: nothing is loaded from elsewhere, and no other site can frame or read it."""


class PageFile(NamedTuple):
    """A file of the page, with the tag that tells its versions apart."""

    content_type: str
    content: bytes
    etag: str


@functools.cache
def page_file(name: str) -> PageFile:
    """Return the file that ``FILES`` has for a name."""
    path = resources.files("asgi_redis.monitor.web") / "page" / FILES[name]
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return PageFile(_TYPES[FILES[name].rpartition(".")[2]], content, etag)
