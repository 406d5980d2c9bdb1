"""Messages a second, from two looks at the counters."""

from __future__ import annotations

import pytest

from asgi_redis.monitor.rates import Look, rates


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (Look(0, 10, 0, 5), Look(2, 30, 0, 9), (10, 8)),
        (Look(0, 10, 0, 5), Look(2, 10, 0, 5), (0, 0)),
        (Look(0, 10, 0, 5), Look(2, 10, 3, 2), (0, 0)),
        (Look(0, 10, 0, 5), Look(2, 0, 0, 5), (0, 0)),
        (Look(0, 10, 0, 0), Look(2, 12, 0, 4), (1, 0)),
        (Look(0, 10, 0, 8, 59), Look(2, 10, 0, 0), (0, 0)),
        (Look(0, 10, 0, 8, 30), Look(2, 10, 0, 0), (0, 4)),
    ],
    ids=[
        "some of both",
        "nothing moves",
        "what expires has not gone out",
        "counters that Redis forgot",
        "put back",
        "a queue that expires as a whole has not gone out",
        "a queue that was emptied",
    ],
)
def test_what_goes_in_and_out(before, now, found):
    assert rates(before, now, 60) == found


def test_one_look_is_not_enough():
    assert rates(None, Look(0, 1, 0, 1), 60) is None
