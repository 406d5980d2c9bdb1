"""
A script that sends to a group.

``python -m examples.announce URL PREFIX REPLY_CHANNEL TEXT``
"""

from __future__ import annotations

import sys

from asgi_redis import RedisChannelLayer


def main(url: str, prefix: str, reply_channel: str, text: str) -> None:
    """Send ``text`` to every channel in the group "staff"."""
    with RedisChannelLayer(hosts=[url], prefix=prefix) as layer:
        layer.send_group("staff", {"text": text, "reply_channel": reply_channel})


if __name__ == "__main__":
    main(*sys.argv[1:5])
