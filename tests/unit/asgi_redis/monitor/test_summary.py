"""The lines above the tables."""

from __future__ import annotations

import pytest

from asgi_redis.monitor.summary import summary

SERVER = {"name": "redis://a:6379/0", "error": "", "latency": 0.0004}


def picture(**parts):
    totals = {"waiting": 401, "channels": 5, "groups": 2, "in_per_second": 3.0, "out_per_second": 3.0}
    return {
        "time": 0.0,
        "layer": "a layer",
        "error": "",
        "complete": True,
        "servers": [SERVER],
        "totals": {**totals, "channel_full_count": 1087},
        "delayed": {"messages": 1, "waiting_for_room": 0},
        "processes": [],
        **parts,
    }


@pytest.mark.parametrize("width", range(1, 90))
def test_no_number_is_cut_in_a_terminal_that_is_narrow(width):
    whole = summary(picture())[1].split("  ")
    shown = summary(picture(), width)[1]
    assert shown.split("  ") == whole[: len(shown.split("  "))]
    assert len(shown) <= width or shown == "waiting 401"


def test_what_is_lost_comes_before_what_the_tables_count():
    assert summary(picture(), 50)[1] == "waiting 401  in 3.0/s  out 3.0/s  refused 1,087"


def test_a_server_that_does_not_answer_comes_first_and_has_no_latency():
    lines = summary(picture(servers=[{**SERVER, "error": "refused", "latency": 0.0}]), 40)
    assert lines[2] == "servers 1, cannot reach redis://a:6379/0"


def test_an_error_cannot_control_the_terminal():
    assert summary(picture(error="\x1b[2J\nno\u202e"))[-1] == "error: ?[2J?no?"


def test_a_picture_that_is_not_complete_says_so():
    assert summary(picture(complete=False))[1].startswith("waiting 401 (still counting)  in ")
