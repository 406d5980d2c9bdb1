from __future__ import annotations

import pytest

from asgi_redis.engine.outage import LONGEST_DELAY_SECONDS, Outage, OutageLog


def test_one_line_at_the_start_and_one_with_the_length_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    outage.succeeded()
    assert caplog.records == []
    for _ in range(5):
        outage.failed(ConnectionError("refused"))
        assert outage.lasts
    assert [record.getMessage() for record in caplog.records] == [
        "Redis does not serve messages (ConnectionError: refused); trying again"
    ]
    outage.succeeded()
    outage.succeeded()
    assert not outage.lasts
    assert [record.getMessage() for record in caplog.records][1:] == ["Redis serves messages again after 0.0 s"]


def test_the_parts_of_a_place_have_one_outage_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """From the first that fails until all serve; each part has its delays."""
    log = OutageLog("the cluster", 3)
    one, other = Outage(log), Outage(log)
    for _ in range(5):
        one.failed(ConnectionError("refused"))
    assert other.failed(ConnectionError("closed")) < 0.1
    one.succeeded()
    one.failed(ConnectionError("refused"))
    one.succeeded()
    assert [record.getMessage() for record in caplog.records] == [
        "the cluster does not serve all messages (ConnectionError: refused); trying again"
    ]
    assert other.lasts
    other.succeeded()
    assert [record.getMessage() for record in caplog.records][1:] == [
        "the cluster serves all messages again after 0.0 s"
    ]


def test_the_delay_grows_to_a_cap_with_jitter_and_starts_again_with_the_next_outage() -> None:
    outage = Outage()
    delays = [outage.failed(ConnectionError()) for _ in range(30)]
    assert delays[0] < 0.1
    assert all(LONGEST_DELAY_SECONDS / 2 <= delay <= LONGEST_DELAY_SECONDS for delay in delays[10:])
    assert len(set(delays)) == len(delays)
    outage.succeeded()
    assert outage.failed(ConnectionError()) < 0.1
