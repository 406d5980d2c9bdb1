"""The log of what happens to connections."""

from __future__ import annotations

import pytest

from asgi_redis.interface import notices


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(notices.time, "monotonic", lambda: now[0])
    return now


def test_each_kind_of_trouble_is_a_line_a_minute_with_the_count_of_the_others(clock, caplog):
    log = notices.Notices()
    for number in range(5):
        log.add("Refused a websocket", f"/{number}", "full")
    log.add("Closed a websocket", "/a", ValueError("odd"))
    assert [record.getMessage() for record in caplog.records] == [
        "Refused a websocket to '/0': full",
        "Closed a websocket to '/a': ValueError: odd",
    ]
    clock[0] += notices.INTERVAL_SECONDS
    log.add("Refused a websocket", "/5", "full")
    log.add("Refused a websocket", "/6", "full")
    assert [record.getMessage() for record in caplog.records][2:] == [
        "Refused a websocket to '/5': full (and 4 times since the last line)"
    ]
    clock[0] += notices.INTERVAL_SECONDS
    log.add("Refused a websocket", "/7", "full")
    assert caplog.records[-1].getMessage() == "Refused a websocket to '/7': full (and 1 times since the last line)"


def test_a_path_forges_no_line(caplog):
    notices.Notices().add("Refused a websocket", "/\nERROR all is lost", "full")
    assert "\n" not in caplog.records[0].getMessage()


def test_a_long_reason_is_cut(caplog):
    notices.Notices().add("Dropped a reply", "c", "x" * 1_000_000)
    assert len(caplog.records[0].getMessage()) < 1000
