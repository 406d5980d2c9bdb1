"""
A process that sends work.

``python -m examples.send_jobs URL PREFIX REPLY_CHANNEL RATE SECONDS``
"""

from __future__ import annotations

import sys
import time

from asgi_redis import ChannelFull, RedisChannelLayer


def main(url: str, prefix: str, reply_channel: str, rate: float, seconds: float) -> None:
    """Send ``rate`` jobs a second, wait while the channel is full; print their number."""
    with RedisChannelLayer(hosts=[url], prefix=prefix) as layer:
        started = time.monotonic()
        jobs = int(rate * seconds)
        for job in range(jobs):
            time.sleep(max(0.0, started + job / rate - time.monotonic()))
            while True:
                try:
                    layer.send("thumbnails", {"id": job, "sent": time.time(), "reply_channel": reply_channel})
                    break
                except ChannelFull:
                    time.sleep(0.01)
    print(jobs)


if __name__ == "__main__":
    main(*sys.argv[1:4], rate=float(sys.argv[4]), seconds=float(sys.argv[5]))
