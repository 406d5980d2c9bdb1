"""``benchmarks.cluster``: that it measures, not how fast anything is."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.cluster import plan
from benchmarks.cluster.__main__ import main
from benchmarks.cluster.figures import Figures, Row
from benchmarks.cluster.placement import imbalance, shards_by_master
from benchmarks.cluster.rates import LOADS, PER_CLIENT, PER_SERVERS
from benchmarks.cluster.rates import TABLE as RATES
from benchmarks.cluster.shards import TABLE as SHARDS
from benchmarks.cluster.shards import WAKE_UPS
from benchmarks.record import load, save
from tests.support.clusters import needs_redis_cli, run_cluster, slot_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads the CPU clocks of other processes")


def lines_of(capsys, *arguments: str) -> list[str]:
    assert main([*arguments]) == 0
    return capsys.readouterr().out.splitlines()


def assert_that_it_can_be_saved(kept, tmp_path) -> None:
    figures = Figures.from_json(json.loads(kept.read_text())["figures"])
    assert load(save(tmp_path, "cluster", {}, figures.measured()))["tables"]


def test_rates_are_those_of_one_redis_and_of_masters(capsys, tmp_path):
    kept = tmp_path / "kept.json"
    lines = lines_of(capsys, "--quick", "--only", "rates", "--json", str(kept))
    for row in LOADS.values():
        (line,) = [line for line in lines if line.startswith(row) and line.split(row)[1].split()[0] == "messages/s"]
        assert all(float(value.replace(",", "")) > 100 for value in line.split()[-2:])
    assert lines_of(capsys, "--load", str(kept), "--only", "rates") == lines
    assert_that_it_can_be_saved(kept, tmp_path)


@pytest.mark.soak
def test_a_process_that_waits_has_a_connection_for_each_shard(capsys, tmp_path):
    kept = tmp_path / "kept.json"
    lines = lines_of(capsys, "--quick", "--only", "shards", "--json", str(kept))
    assert_that_it_can_be_saved(kept, tmp_path)
    (line,) = [line for line in lines if line.startswith("connections of a process")]
    one_redis, one, many = (float(value) for value in line.split()[-3:])
    assert one_redis <= one < 4
    assert many >= 64
    (line,) = [line for line in lines if line.startswith(WAKE_UPS) and "p50" in line]
    assert all(float(value) < 5000 for value in line.split()[-3:])


def test_a_plan_counts_masters_and_connections(tmp_path):
    figures = Figures()
    for name, per_second in (("normal", 10_000.0), ("batches", 20_000.0), ("group", 50_000.0)):
        for unit in (PER_SERVERS, PER_CLIENT):
            figures.add(Row(RATES, LOADS[name], unit), "3 masters", per_second)
    assert plan.text(figures) == ""
    for unit in ("p50, ms", "client CPU, µs", "servers' CPU, µs"):
        figures.add(Row(SHARDS, WAKE_UPS, unit), "1 shard", 1.0)
        figures.add(Row(SHARDS, WAKE_UPS, unit), "64 shards", 64.0)
    lines = plan.text(figures).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("masters")] == ["84"]
    assert [line for line in lines if line.startswith("one layer: a waiting worker") and line.endswith("84.0 ms")]
    assert [line for line in lines if line.startswith("one layer: connections of a master") and "over max" in line]
    rows = load(save(tmp_path, "cluster", {}, plan.measured(figures)))["tables"]["plan"]["rows"]
    assert [row["values"] for row in rows if row["name"] in ("masters", "layers of four shards")] == [[84], [21]]


@pytest.mark.soak
def test_failover_counts_what_a_kill_cost(capsys, tmp_path):
    kept = tmp_path / "kept.json"
    lines = lines_of(capsys, "--quick", "--only", "failover", "--json", str(kept))
    assert_that_it_can_be_saved(kept, tmp_path)
    counts = {line.split()[0]: int(line.split()[-1].replace(",", "")) for line in lines if " messages " in line}
    assert counts["acknowledged"] > 100
    assert counts["doubled"] == 0
    (line,) = [line for line in lines if "first send" in line]
    assert 0 < float(line.split()[-3]) < 30


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=[pytest.mark.soak, needs_redis_cli])])
def test_a_reshard_loses_nothing(capsys, tmp_path, quick):
    kept = tmp_path / "kept.json"
    lines = lines_of(capsys, *["--quick"] * quick, "--only", "reshard", "--json", str(kept))
    assert_that_it_can_be_saved(kept, tmp_path)
    for row in ("lost ", "doubled ", "lost of those in other queues"):
        (line,) = [line for line in lines if line.startswith(row) and "queues" not in line.replace(row, "")]
        assert line.split()[-1] == "0", line


def test_the_masters_of_shards_are_those_of_a_cluster():
    with run_cluster(masters=3, replicas=0) as cluster:
        owners = [cluster.nodes.index(cluster.master_of(slot_of(f"{{asgi:{n}}}chat"))) for n in range(12)]
    assert [owners.count(master) for master in range(3)] == shards_by_master(12, 3)


def test_placement_says_how_busy_the_busiest_master_is(capsys):
    assert imbalance(4, 4) == 1.0
    (line,) = [line for line in lines_of(capsys, "--only", "placement") if line.startswith("3 ")]
    assert line.split()[1:3] == ["0+2+1", "2.00"]


def test_medians_are_shown_and_counts_have_no_decimals():
    figures = Figures()
    figures.add(Row("Table", "first", "ms"), "column", 3.0, 1.0, 2.0)
    figures.add(Row("Table", "second", ""), "column", 4)
    rows = [line.split() for line in next(figures.tables()).splitlines()[6:8]]
    assert rows == [["first", "ms", "2.00"], ["second", "4"]]


def test_what_was_kept_is_shown_again(tmp_path, capsys):
    figures = Figures()
    figures.add(Row("Table", "first", "ms"), "column", 1234.0)
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"about": ["on this machine"], "figures": figures.to_json()}))
    assert {"on this machine", "first  ms   1,234"} <= set(lines_of(capsys, "--load", str(kept)))


def test_a_choice_of_nothing_is_an_error_that_names_what_there_is():
    with pytest.raises(SystemExit, match="matches 'sentinel'; there are\n  rates"):
        main(["--only", "sentinel"])
