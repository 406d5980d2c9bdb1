"""Messages a second, from two looks at the counters."""

from __future__ import annotations

import pytest

from asgi_redis.monitor.rates import Look, rates


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (Look(0, 10, 0, 5), Look(2, 30, 0, 9), (10, 8, 0)),
        (Look(0, 10, 0, 5), Look(2, 10, 0, 5), (0, 0, 0)),
        (Look(0, 10, 0, 5), Look(2, 10, 3, 2), (0, 0, 1.5)),
        (Look(0, 10, 0, 5), Look(2, 0, 0, 5), (0, 0, 0)),
        (Look(0, 10, 0, 0), Look(2, 12, 0, 4), (1, 0, 0)),
        (Look(0, 10, 0, 8, 59), Look(2, 10, 0, 0), (0, 0, 4)),
        (Look(0, 10, 0, 8, 30), Look(2, 10, 0, 0), (0, 4, 0)),
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


@pytest.mark.parametrize(("readers", "out", "expired"), [(0, 0, 3), (1, 3, 0), (None, 3, 0)])
def test_what_no_process_reads_expires_without_being_counted(readers, out, expired):
    assert rates(Look(0, 10, 0, 8, 59), Look(2, 14, 0, 6, 59), 60, readers) == (2, out, expired)


def test_what_is_too_young_to_expire_was_read_by_some_other_program():
    assert rates(Look(0, 10, 0, 8, 30), Look(2, 10, 0, 6, 30), 60, readers=0) == (0, 1, 0)


def test_one_look_is_not_enough():
    assert rates(None, Look(0, 1, 0, 1), 60) is None
