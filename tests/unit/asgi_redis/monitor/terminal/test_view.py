"""The state of the live view, apart from a terminal."""

from __future__ import annotations

import pytest

from asgi_redis.monitor.terminal.view import View

ROOM = 10


@pytest.fixture
def snapshot():
    channels = [{"channel": f"c{number:02}", "waiting": 40 - number, "marks": []} for number in range(40)]
    return {"time": 0.0, "channels": channels, "groups": [], "processes": [], "servers": [], "delayed": {"first": []}}


def first(view, snapshot):
    return view.body(snapshot, 80, ROOM + 1)[1].row["channel"]


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        (["up", "page down"], "c10"),
        (["end", "up"], "c29"),
        (["end", "down", "up"], "c29"),
        (["end", "home", "down"], "c01"),
        (["page down"] * 9, "c30"),
    ],
)
def test_keys_that_come_at_once_scroll_no_further_than_the_rows(snapshot, keys, shown):
    view = View()
    view.body(snapshot, 80, ROOM + 1)
    for key in keys:
        assert view.press(key)
    assert first(view, snapshot) == shown


def test_rows_that_vanish_do_not_leave_an_empty_screen(snapshot):
    view = View()
    view.body(snapshot, 80, ROOM + 1)
    view.press("end")
    snapshot["channels"] = snapshot["channels"][:5]
    assert first(view, snapshot) == "c00"


def test_sorting_takes_reports_as_they_are(snapshot):
    """Any program may have written them."""
    reports = [
        {"process": "a", "age": 1.0, "busy": "x", "role": 5, "channels": 7},
        {"process": "b", "age": 2.0, "busy": [1], "channels": [1, {}]},
    ]
    snapshot["processes"] = reports
    view = View()
    view.press("3")
    for _ in range(14):
        view.press("s")
        view.press("r")
        assert len(view.body(snapshot, 200, ROOM)) == 3
