"""
A reader process: ``python -m tests.support.delivery.reader HOW CHANNEL SETTINGS``, the last as JSON.

It prints the number in each message that it receives, one a line, until it receives ``{"stop": true}``. HOW
is ``poll``, ``block`` or ``batch``.
"""

from __future__ import annotations

import json
import subprocess
import sys

from asgi_redis import RedisChannelLayer


def start_reader(how: str, channel: str, **settings: object) -> subprocess.Popen[str]:
    """Starts such a process."""
    command = [sys.executable, "-m", "tests.support.delivery.reader", how, channel, json.dumps(settings)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main(how: str, channel: str, settings: str) -> None:
    with RedisChannelLayer(**json.loads(settings)) as layer:
        while True:
            if how == "batch":
                messages = [message for _, message in layer.receive_batch([channel], 10, timeout=1)]
            else:
                _, message = layer.receive([channel], block=how == "block")
                messages = [message] if message is not None else []
            stops = [message for message in messages if "stop" in message]
            for message in messages:
                if "number" in message:
                    print(message["number"], flush=True)  # noqa: T201  its output
            for stop in stops[1:]:  # a batch may hold those of other readers
                layer.send(channel, stop)
            if stops:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
