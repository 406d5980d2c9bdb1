"""The figures of README and docs: each comes from a results file of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.figures.picture import Picture
from benchmarks.figures.published import Published, UnknownAddressError, exact, rounded
from benchmarks.figures.readme import Line, with_figures

ROOT = Path(__file__).parents[2]
CONDITIONS = {
    "command": "python -m benchmarks.ipc --save",
    "date": "2026-11-29",
    "seconds": 60,
    "method": "Medians of 3 interleaved runs",
    "machine": {"cpu": "Intel", "cpus": 2, "kernel": "Linux 6.18", "load_before": 0.52, "load_after": 1.5},
    "versions": {"redis-server": "7.0.15", "python": "3.11.7"},
}
ROWS = [
    {"name": "send, 1 task", "unit": "ops/s", "values": [10838.2, 2139.1, 389.9, 5.0667]},
    {"name": "ping-pong, p50", "unit": "µs", "values": [281.4, 565.2, 140.7, 0.5]},
    {"name": "hangs", "unit": "ops/s", "values": [2012.0, None, None, None]},
]


@pytest.fixture
def published(tmp_path: Path) -> Published:
    table = {"title": "Rates", **CONDITIONS, "columns": ["asgi_redis 2 hiredis", "old", "new", "times"], "rows": ROWS}
    (tmp_path / "ipc.json").write_text(json.dumps({"benchmark": "ipc", "tables": {"rates": table}}))
    return Published(tmp_path)


class TestReading:
    def test_an_address_has_a_value(self, published):
        assert published.value("ipc/rates/send, 1 task/asgi_redis 2 hiredis") == 10838.2

    def test_two_columns_have_a_ratio(self, published):
        assert published.value("ipc/rates/ping-pong, p50/old : new") == pytest.approx(4.017, abs=0.001)

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("ipc", "'ipc' is not benchmark/table/row/column"),
            ("aio/rates/send, 1 task/old", "no table 'aio/rates'; there are: ipc/rates"),
            ("ipc/rates/send, 2 tasks/old", "ipc/rates has no row 'send, 2 tasks'; there are: send, 1 task; ping"),
            ("ipc/rates/send, 1 task/ours", "ipc/rates has no column 'ours'; there are: asgi_redis 2 hiredis; old"),
            ("ipc/rates/hangs/old", "ipc/rates/hangs/old was not measured"),
            ("ipc/rates/hangs/new : old", "ipc/rates/hangs/new was not measured"),
        ],
    )
    def test_an_address_that_leads_to_nothing_is_an_error_that_names_what_there_is(self, published, address, message):
        with pytest.raises(UnknownAddressError, match=message):
            published.value(address)

    def test_a_rate_says_its_unit_in_words(self, published):
        assert [row.unit for row in published.table("ipc/rates").rows()] == ["calls a second", "µs", "calls a second"]

    def test_a_table_says_when_how_and_where_it_was_measured(self, published):
        assert published.table("ipc/rates").about == [
            "Measured on 2026-11-29.",
            "Medians of 3 interleaved runs.",
            "Intel, 2 CPUs, Linux 6.18; load average 0.5 before, 1.5 after.",
            "redis-server 7.0.15, python 3.11.7.",
        ]


@pytest.mark.parametrize(
    ("value", "in_a_table", "in_a_sentence"),
    [
        (10838.2, "10,838", "11,000"),
        (5.0667, "5.07", "5.1"),
        (1.96, "1.96", "2"),
        (0.02786, "0.0279", "0.028"),
        (0.0, "0", "0"),
        (12, "12", "12"),
        (319526, "319,526", "320,000"),
        (None, "-", "-"),
        ("1+2+1", "1+2+1", "1+2+1"),
    ],
)
def test_numbers_have_three_digits_in_tables_and_two_in_sentences(value, in_a_table, in_a_sentence):
    assert (exact(value), rounded(value)) == (in_a_table, in_a_sentence)


def test_the_picture_has_a_bar_for_each_value_and_marks_what_a_peer_does_better(published):
    text = str(Picture(published.table("ipc/rates"), "Rates", ["asgi_redis 2 hiredis"], ["old", "new"]))
    assert (text.count('class="ours"'), text.count('class="peer"')) == (3, 4)
    assert 'y="103" class="end">390</text>' in text
    assert 'class="end less">0.5</text>' in text


def test_the_readme_has_rows_between_its_two_comments(published):
    lines = [
        Line("sends a second", "ipc/rates/send, 1 task", "asgi_redis 2 hiredis", {"old": "Old", "new": "New"}),
        Line("µs there and back", "ipc/rates/ping-pong, p50", "asgi_redis 2 hiredis", {"old": "Old", "new": "New"}),
    ]
    text = "before\n\n.. figures: begin\n\nyesterday's\n\n.. figures: end\n\nafter\n"
    written = with_figures(text, lines, published)
    assert written.startswith("before\n\n.. figures: begin\n\n=====")
    assert "sends a second     10,838      2,139, Old  5.1\n" in written
    assert "µs there and back  281         141, New    0.5\n" in written
    assert "``python -m benchmarks.ipc --save``: Measured on 2026-11-29." in written
    assert written.endswith("\n\n.. figures: end\n\nafter\n")
    assert with_figures(written, lines, published) == written
    assert with_figures("no figures\n", lines, published) == "no figures\n"
