"""
Where channels_redis doubles messages: ``python -m tests.support.mixed.doubling``, about a minute.

Processes of channels_redis and of this package read one normal channel, to which all of them send. It prints how
many messages came more than once, for several mixtures of readers.
"""

from __future__ import annotations

import uuid

from asgi_redis.embedded import RedisServer
from tests.support.mixed.fleet import Fleet
from tests.support.mixed.member import LOOPS

MESSAGES = 5_000
MIXTURES = [(0, 6), (1, 0), (1, 1), (1, 2), (1, 5), (2, 0), (2, 1), (2, 4), (3, 3), (6, 0)]


def count(server: RedisServer, stock: int, ours: int) -> tuple[int, int, int]:
    """Returns how many messages were sent, how many came more than once, and how many never."""
    kinds = ["stock"] * stock + ["sync", "aio", "sync", "aio", "sync", "aio"][:ours]
    normal = {"work": range(len(kinds))}
    fleet = Fleet(kinds, normal, MESSAGES // LOOPS // len(kinds), to_all=False)
    arrived = fleet.run(server.url, f"doubling-{uuid.uuid4().hex}")
    expected = fleet.expected
    return len(expected), sum(times > 1 for times in arrived.values()), len(expected - arrived)


def main() -> None:
    with RedisServer() as server:
        print("readers: channels_redis, ours; messages, doubled, lost")  # noqa: T201  its output
        for stock, ours in MIXTURES:
            print(stock, ours, *count(server, stock, ours), flush=True)  # noqa: T201  its output


if __name__ == "__main__":
    main()
