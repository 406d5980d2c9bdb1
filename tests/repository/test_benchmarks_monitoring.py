"""``benchmarks.monitoring``: that it measures, not how much anything costs."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.cluster.figures import Figures
from benchmarks.monitoring.__main__ import Rounds, main
from benchmarks.record import load, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it pins its server to a processor")


def test_rounds_end_with_their_time_and_are_one_at_least():
    bounded, whole = Rounds(5, 0.0), Rounds(2, 60.0)
    assert (list(bounded), list(whole)) == ([0], [0, 1])
    assert (str(bounded), str(whole)) == ("1 round, instead of 5: they have 0 s", "2 rounds")


def test_looking_has_the_load_of_a_sweep_and_of_a_monitor(capsys, tmp_path):
    kept = tmp_path / "kept.json"
    assert main(["--quick", "--only", "looking", "--json", str(kept)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Looking at 5,000 keys, 500 of them channels" in lines
    for name in ("duration", "longest command", "commands "):
        (line,) = [line for line in lines if line.startswith(name)]
        _, sweep, monitor = line.split()[-3:]
        assert float(sweep.replace(",", "")) > 0
        assert float(monitor.replace(",", "")) > 0
    figures = Figures.from_json(json.loads(kept.read_text())["figures"])
    assert load(save(tmp_path, "monitoring", {}, figures.measured()))["tables"]


def test_the_registry_costs_redis_a_script_for_each_report(capsys):
    assert main(["--quick", "--only", "registry"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("scripts")]
    one, hundred, thousand = (float(word.replace(",", "")) for word in line.split()[-3:])
    assert one < 10 < hundred < 100 < thousand < 600


@pytest.mark.soak
def test_a_worker_that_is_seen_is_beside_one_that_is_not(capsys):
    assert main(["--quick", "--only", "working"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("1 thread", "8 threads", "100 greenlets"):
        found = [line for line in lines if line.startswith(name)]
        assert len(found) == 2
        assert all(float(word.replace(",", "")) > 0 for line in found for word in line.split()[-2:])
