"""``benchmarks.growth``: that it measures, and marks what grows; not how much anything costs."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.growth.__main__ import main
from benchmarks.growth.parts import PARTS
from benchmarks.growth.report import Sample, findings, measured_table
from benchmarks.record import load, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it pins its servers to a processor")


def test_each_step_has_a_line_with_its_costs(capsys, tmp_path):
    kept = tmp_path / "kept.json"
    assert main(["--quick", "--only", "Groups of one process: send; ", "--json", str(kept)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Groups of one process (members)" in lines
    one, hundred = (line.split("a member")[1].split() for line in lines if line.startswith("send; a member"))
    assert one[0] == "1"
    assert hundred[0] == "100"
    assert 0 < float(hundred[1]) < float(one[1])  # a member costs less than a call
    samples = json.loads(kept.read_text())["samples"]
    assert [sample["step"] for sample in samples] == [1, 100]
    assert all(sample["measured"]["redis"] > 0 for sample in samples)


def test_each_part_has_a_table_for_the_results_file(tmp_path):
    measured = {"work": 1, "seconds": 1e-6, "slowest": 0.01, "redis": 1_000_000, "client": 2_000_000}
    samples = [
        Sample(part.title, figure, step, measured) for part in PARTS for figure in part.figures for step in part.steps
    ]
    tables = {part.title: measured_table(part, samples) for part in PARTS}
    backlog = load(save(tmp_path, "growth", {}, tables))["tables"]["Backlog"]
    assert backlog["rows"][1] == {"name": "send; a message, 1,000", "unit": "", "values": [1.0, 1.0, None, 1.0, 2.0]}


def sample(step: int, seconds: float, slowest: float = 0.0, client: int = 0) -> Sample:
    measured = {"work": step, "seconds": seconds, "slowest": slowest, "redis": 0, "client": client}
    return Sample("Part", "call", step, measured)


def test_a_cost_that_grows_as_the_work_does_is_not_marked():
    assert list(findings([sample(1, 1.0), sample(10, 14.0, 9.9, 14_000_000)])) == []


def test_a_cost_that_grows_faster_than_the_work_is_marked():
    time, blocked, memory = findings([sample(1, 1.0), sample(10, 16.0), sample(100, 160.0, 10.1, 160_000_000)])
    assert time == "Part: call, 10: growth 1.60 x the time of a unit"
    assert blocked == "Part: call, 100: slowest command 10.1 ms"
    assert memory == "Part: call, 100: client 16.0 x the memory of a unit"
