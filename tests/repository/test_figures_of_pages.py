"""The pages and the README: every measured number in them comes from a results file of a benchmark."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.cluster.placement import imbalance, shards_by_master, slot_of_shard
from benchmarks.figures.__main__ import drawn
from benchmarks.figures.published import Published

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.rst")),
    *sorted(ROOT.glob("docs/**/*.rst")),
    *sorted(ROOT.glob("examples/*/README.rst")),
    ROOT / "benchmarks" / "README.rst",
]


def test_the_picture_and_the_readme_are_those_of_the_results():
    for path, text in drawn(Published()).items():
        assert (ROOT / path).read_text() == text, f"{path} is an old one: run python -m benchmarks.figures"


def test_every_number_of_the_pages_is_in_the_results():
    published = Published()
    addresses = [
        (path.name, address)
        for path in DOCUMENTS
        for address in re.findall(r":measured:`([^`]+)`", re.sub(r"\s+", " ", path.read_text()))
    ]
    assert len(addresses) > 10
    for page, address in addresses:
        assert published.value(address) is not None, page


def test_the_page_of_clusters_has_the_shards_of_masters_as_the_hash_of_redis_has_them():
    text = (ROOT / "docs" / "explanation" / "benchmarks_cluster.rst").read_text()
    rows = re.findall(r"^(\d+) +(\d\S*\+\S+) +([\d.]+) +(\S+) +([\d.]+) +(\S+) +([\d.]+)$", text, re.MULTILINE)
    assert len(rows) > 10
    for shards, *cells in rows:
        for masters, on_each, busiest in zip((3, 4, 6), cells[::2], cells[1::2]):
            assert on_each == "+".join(map(str, shards_by_master(int(shards), masters)))
            assert busiest == f"{imbalance(int(shards), masters):.2f}"
    ranges = [range(int(first), int(last) + 1) for first, last in re.findall(r"(?<![-\d])(\d+)-(\d{4,5})\b", text)]
    assert sorted(sum(slot_of_shard(shard) in one for shard in range(3)) for one in ranges) == [1, 1, 1]
