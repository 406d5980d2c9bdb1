"""The pages and the README: every measured number in them comes from a results file of a benchmark."""

from __future__ import annotations

import ast
import itertools
import json
import re
from pathlib import Path

import pytest

from benchmarks.cluster.placement import imbalance, shards_by_master, slot_of_shard
from benchmarks.figures.__main__ import drawn
from benchmarks.figures.published import RESULTS, TIMES, Published
from tests.support.measurements import measurements, paragraphs

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.rst")),
    *sorted(ROOT.glob("docs/**/*.rst")),
    *sorted(ROOT.glob("examples/*/README.rst")),
    ROOT / "benchmarks" / "README.rst",
]
# What looks like a measurement and is none, by page: the phrase, and whose rule it is. "FILE: NAME" is a constant of
# the code, whose value the phrase has.
RULES: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("figures_that_are_rules.json").read_text())
SECONDS = {"µs": 1e-6, "ms": 1e-3, "s": 1, "second": 1, "seconds": 1, "minute": 60, "minutes": 60}
BYTES = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
WORDS = {"four": 4, "five": 5, "nine": 9, "ten": 10}
UNITS = {**SECONDS, **BYTES, "%": 0.01, "": 1}


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


def test_each_benchmark_that_a_page_or_a_module_names_has_its_results():
    """All but the soak tests of deploys are benchmarks of the README, where ``python -m benchmarks`` writes main."""
    texts = [path.read_text() for path in (*DOCUMENTS, *ROOT.glob("benchmarks/**/*.py"))]
    listed = set(re.findall(r"^ +python -m benchmarks\.(\w+)  ", (ROOT / "benchmarks/README.rst").read_text(), re.M))
    named = {name for text in texts for name in re.findall(r"benchmarks/results/([a-z]\w*)\.json", text)}
    there = {path.stem for path in RESULTS.glob("*.json")}
    assert len(listed) > 10
    assert there == {"main", "deploys"} | listed
    assert named <= there


@pytest.mark.parametrize("table", list(Published()), ids=lambda table: table.address)
def test_the_times_of_a_table_are_those_of_its_columns(table):
    for row in table.rows():
        times = row.values.pop(TIMES, None)
        if times is not None:
            values = [value for value in row.values.values() if isinstance(value, (int, float)) and value]
            ratios = [one / other for one, other in itertools.permutations(values, 2)]
            assert any(ratio == pytest.approx(times, rel=0.001) for ratio in ratios), row


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 4 ms, and\n0.5\nseconds.", ["4 ms", "0.5 seconds"]),
        (
            "12,000 messages a second, five times as many, 78 % of them",
            ["12,000 messages a second", "five times", "78 %"],
        ),
        ("Of 8,324 jobs none was lost.", ["8,324"]),
        ("====  ====\nsend  4 ms\n====  ====\n", ["4 ms"]),
        ("Redis 7.0.15 has 10,000 clients and waits 30 seconds.", []),
        ("``4 ms`` and :measured:`main/calls/send 10 KB/times` ms", []),
        (".. code-block:: sh\n\n    sleep 4 ms\n\n.. 4 ms, said nobody\n\nSizes::\n\n    4 ms\n", []),
        (".. figures: begin\n\n4 ms\n\n.. figures: end\n", []),
    ],
)
def test_the_scan_finds_what_looks_measured_in_prose_and_tables(text, found):
    assert [match[0] for paragraph in paragraphs(text) for match in measurements(paragraph)] == found


def prose(path: Path) -> list[str]:
    return list(paragraphs(path.read_text()))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_number_that_looks_measured_is_from_the_results_or_a_rule(path):
    rules = RULES.get(str(path.relative_to(ROOT)), {})
    unknown = []
    for paragraph in prose(path):
        allowed = [
            range(found.start(), found.end()) for rule in rules for found in re.finditer(re.escape(rule), paragraph)
        ]
        for found in measurements(paragraph):
            if not any(found.start() in span and found.end() - 1 in span for span in allowed):
                unknown.append(paragraph[max(0, found.start() - 40) : found.end() + 20])
    hint = "take it from the results, see docs/extensions/figures.py, or name its rule in figures_that_are_rules.json"
    assert unknown == [], hint


@pytest.mark.parametrize("page", sorted(RULES))
def test_every_phrase_that_is_a_rule_stands_on_its_page(page):
    assert (ROOT / page).is_file()
    text = prose(ROOT / page)
    assert [rule for rule in RULES[page] if not any(rule in paragraph for paragraph in text)] == []


def constant(source: str) -> object:
    """The value of a constant of a module, also of one of several on a line."""
    path, _, name = source.partition(": ")
    for statement in ast.parse((ROOT / path).read_text()).body:
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
            pairs = zip(target.elts, value.elts) if isinstance(target, ast.Tuple) else [(target, value)]
            for one, its_value in pairs:
                if isinstance(one, ast.Name) and one.id == name:
                    return eval(compile(ast.Expression(its_value), path, "eval"), {"__builtins__": {}})
    raise AssertionError(f"{path} has no constant {name}")


SOURCES = [
    (rule, source)
    for rules in RULES.values()
    for rule, source in rules.items()
    if re.match(r"(?:asgi_redis|workers|benchmarks|tests|examples)/", source)
]


@pytest.mark.parametrize(("rule", "source"), SOURCES)
def test_a_rule_has_the_value_of_its_constant(rule, source):
    numbers = re.findall(r"(\d[\d,]*(?:\.\d+)?) ?(%|[µm]?s\b|seconds?|minutes?|[KMG]i?B|)", rule)
    said = {float(number.replace(",", "")) * factor for number, unit in numbers for factor in (UNITS[unit], 1)}
    said |= {value for word, value in WORDS.items() if re.search(rf"\b{word}\b", rule)}
    assert constant(source) in said


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
