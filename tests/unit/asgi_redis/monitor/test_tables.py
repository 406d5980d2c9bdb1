"""Tables as lines of text, for a terminal of any width."""

from __future__ import annotations

import pytest

from asgi_redis.monitor.cells import duration, latency, rate, size
from asgi_redis.monitor.tables import CHANNELS, SERVERS, WORKERS, lines

ROW = {
    "channel": "a" * 60,
    "waiting": 12345,
    "oldest": 61.0,
    "capacity": 100,
    "readers": None,
    "marks": ["full"],
    "in_per_second": 0.25,
    "out_per_second": None,
    "messages_expired": 3,
    "channel_full_count": 0,
}


def texts(table, rows, width=None):
    return [line.text for line in lines(table, rows, width)]


@pytest.mark.parametrize(
    ("text", "number", "shown"),
    [
        (duration, 0.04, "0.0 s"),
        (duration, 59.6, "60 s"),
        (duration, 7200, "2 h"),
        (duration, -90, "-90 s"),
        (duration, 86400 * 3, "3 d"),
        (latency, 0.00123, "1.2 ms"),
        (rate, 1234.5, "1,234"),
        (size, 999, "999 B"),
        (size, 12_345_678, "12.3 MB"),
        (size, 5e15, "5000 TB"),
    ],
)
def test_numbers_are_for_people(text, number, shown):
    assert text(number) == shown


def test_without_a_width_nothing_is_cut():
    heading, row = texts(CHANNELS, [ROW])
    assert row.split() == ["a" * 60, "12,345", "61", "s", "0.2", "-", "3", "0", "100", "full"]
    assert "READERS" not in heading  # no row has that


@pytest.mark.parametrize("width", range(60, 130, 10))
def test_in_a_narrow_terminal_columns_go_and_names_are_cut(width):
    shown = texts(CHANNELS, [ROW], width)
    assert max(map(len, shown)) <= width
    assert "…" in shown[1]
    assert "12,345" in shown[1]


def test_in_a_tiny_terminal_marks_stay_and_no_number_is_cut():
    heading, row = texts(CHANNELS, [{**ROW, "marks": ["full", "no reader"]}], 40)
    assert heading.split() == ["CHANNEL", "WAITING", "MARKS"]
    assert row.endswith("12,345  full, no reader")


def test_a_table_without_rows_has_its_heading():
    assert texts(SERVERS, [], 80) == ["SERVER  LATENCY  ROLE  MEMORY  ERROR"]


def test_what_a_report_holds_cannot_control_the_terminal():
    row = {
        "process": "\x1b[2J",
        "age": 1.0,
        "busy": "\x07",
        "running": [{"seconds": 1, "channel": "\r", "consumer": 1}],
    }
    assert not any(character < " " for line in texts(WORKERS, [row], 200) for character in line)


@pytest.mark.parametrize("width", [None, 500])
def test_a_report_cannot_fill_the_memory_with_a_table(width):
    long = "x" * 1_000_000
    running = {"seconds": 1, "channel": long, "consumer": long}
    row = {"process": long, "age": 1.0, "busy": long, "version": long, "channels": [long], "running": [running]}
    assert sum(map(len, texts(WORKERS, [row], width))) < 20_000
