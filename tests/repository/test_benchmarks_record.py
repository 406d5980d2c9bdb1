"""``benchmarks.record``: the results files, and what a partial run may not do to them."""

from __future__ import annotations

import json

import pytest

from asgi_redis import __version__
from benchmarks import comparison
from benchmarks.__main__ import main
from benchmarks.channels1.__main__ import measured_table as channels1_table
from benchmarks.dispatch.report import measured_tables as dispatch_tables
from benchmarks.interface.report import measured_tables as interface_tables
from benchmarks.interface.workloads import WORKLOADS as interface_workloads
from benchmarks.record import RESULTS, Conditions, Line, Measured, described, load, save
from benchmarks.samples import Samples
from benchmarks.subjects import BY_KEY
from benchmarks.table import COLUMNS
from benchmarks.table import measured_tables as main_tables
from benchmarks.workloads import WORKLOADS
from tests.support.deploys.figures import DEPLOYS, KILLS, DeployFigures
from tests.support.deploys.stack import Report

CONDITIONS = {"date": "2026-11-29"}


def table(*values: float | None) -> Measured:
    return Measured("Some calls", ["ours", "theirs"], [Line("send", "messages/s", list(values))])


def test_what_is_saved_is_loaded_with_its_full_precision(tmp_path):
    path = save(tmp_path / "new", "some", CONDITIONS, {"rates": table(0.1 + 0.2, None)})
    assert path == tmp_path / "new" / "some.json"
    found = load(path)
    assert found["benchmark"] == "some"
    assert found["tables"]["rates"]["columns"] == ["ours", "theirs"]
    assert found["tables"]["rates"]["rows"] == [
        {"name": "send", "unit": "messages/s", "values": [0.30000000000000004, None]}
    ]


def test_tables_that_were_not_measured_stay_with_their_own_conditions(tmp_path):
    save(tmp_path, "some", {"date": "2025-01-01"}, {"first": table(1.0, 2.0), "second": table(3.0, 4.0)})
    found = load(save(tmp_path, "some", CONDITIONS, {"second": table(5.0, 6.0)}))["tables"]
    assert [(found[name]["date"], found[name]["rows"][0]["values"]) for name in ("first", "second")] == [
        ("2025-01-01", [1.0, 2.0]),
        ("2026-11-29", [5.0, 6.0]),
    ]


def test_each_row_has_a_line_of_the_file(tmp_path):
    path = save(tmp_path, "some", CONDITIONS, {"rates": table(1.0, 2.0)})
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    assert '{"name": "send", "unit": "messages/s", "values": [1.0, 2.0]}' in lines
    assert json.loads(path.read_text()) == load(path)


def test_the_conditions_name_command_machine_and_versions():
    ended = Conditions("benchmarks.some", ["--runs", "3"]).end("Medians of 3 runs")
    assert ended["command"] == "python -m benchmarks.some --runs 3"
    assert set(ended) == {"command", "date", "seconds", "method", "machine", "versions"}
    assert all(ended["machine"][name] for name in ("cpu", "cpus", "kernel"))
    assert all(ended["machine"][name] >= 0 for name in ("load_before", "load_after"))
    assert ended["versions"]["asgi_redis"] == __version__
    assert {"python", "redis-server", "redis", "msgpack"} <= set(ended["versions"])
    shown = "\n".join(described(ended))
    for part in ("Medians of 3 runs.", ended["machine"]["cpu"], f"asgi_redis {__version__}", ended["date"]):
        assert part in shown


@pytest.mark.parametrize(
    "broken",
    [
        Measured("A slash", ["sends/s"], []),
        Measured("Twice", ["a", "b"], [Line("send", "", [1, 2]), Line("send", "ms", [1, 2])]),
        Measured("Too few", ["a", "b"], [Line("send", "", [1])]),
    ],
    ids=lambda one: one.title,
)
def test_a_table_in_which_a_value_has_no_address_is_not_saved(tmp_path, broken):
    with pytest.raises(ValueError, match="broken"):
        save(tmp_path, "some", CONDITIONS, {"broken": broken})
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "tables",
    [
        lambda: main_tables(list(WORKLOADS), Samples()),
        lambda: dispatch_tables(Samples()),
        lambda: interface_tables(list(interface_workloads), Samples()),
        lambda: {"answers": channels1_table(Samples())},
    ],
    ids=["main", "dispatch", "interface", "channels1"],
)
def test_the_tables_of_a_benchmark_give_each_value_an_address(tmp_path, monkeypatch, tables):
    monkeypatch.setattr(Samples, "median", lambda *_: 1.0)
    found = load(save(tmp_path, "some", CONDITIONS, tables()))["tables"]
    assert all(table["rows"] for table in found.values())


def test_a_table_with_some_of_its_workloads_is_not_among_those_to_be_saved(monkeypatch):
    monkeypatch.setattr(Samples, "median", lambda *_: 1.0)
    some = [one for one in interface_workloads if one.table == "Echo" or one.name == "10 clients"]
    assert list(interface_tables(some, Samples())) == ["Echo"]


def test_the_soak_tests_of_deploys_save_the_tables_that_have_all_their_rows(tmp_path):
    figures = DeployFigures(["-m", "soak"])
    report = Report(10, 100, 99, {}, [(1, 1)], [], [], [], {}, {"p50": 1.0, "p99": 2.0, "max": 3.0})
    for table, name in ((KILLS, "20 kills"), (DEPLOYS, "20 deploys")):
        with figures.row(table, name) as add:
            add(report, {"begun": 1})
    figures.save(tmp_path)
    found = load(tmp_path / "deploys.json")["tables"]
    assert list(found) == [KILLS]
    assert found[KILLS]["command"] == "python -m pytest -m soak"
    assert dict(zip(found[KILLS]["columns"], found[KILLS]["rows"][0]["values"])) == {
        "frames": 100,
        "lost": 1,
        "doubled": 0,
        "out of order": 0,
        "closed": 0,
        "p50, ms": 1.0,
        "p99, ms": 2.0,
        "longest, ms": 3.0,
        "begun": 1,
    }


def test_a_unit_that_names_its_part_gives_it_to_the_name():
    assert Line.of("ping-pong", "p50, µs", [1]) == Line("ping-pong, p50", "µs", [1])
    assert Line.of("send", "ops/s", [1]) == Line("send", "ops/s", [1])


@pytest.mark.parametrize("flags", [["--quick"], ["--only", "send"]], ids=" ".join)
def test_a_partial_run_is_not_saved(tmp_path, flags):
    with pytest.raises(SystemExit, match=f"--save and {flags[0]} exclude each other"):
        main([*flags, "--save", str(tmp_path)])
    assert not [*tmp_path.iterdir()]


def test_a_command_saves_what_it_prints(tmp_path, monkeypatch, capsys):
    """Here one that compares two layers; that each measures in a process is left out."""
    answers = {"ours": [[2000.0, 5.0]], "channels_redis": [[500.0, 20.0]]}
    monkeypatch.setattr(comparison, "_in_process", lambda module, name, subject, *_: answers[subject])
    flags = ["--runs", "1", "--save", str(tmp_path)]
    figures = {"send": ("messages/s|p50, µs", None, ())}
    assert comparison.command("benchmarks.some", lambda *_: None, figures, {"send": 4}, flags) == 0
    found = load(tmp_path / "some.json")["tables"]["rates"]
    assert found["command"] == f"python -m benchmarks.some {' '.join(flags)}"
    assert {row["name"]: row["values"] for row in found["rows"]} == {
        "send": [2000.0, 500.0, 4.0],
        "send, p50": [5.0, 20.0, 4.0],
    }
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("send, messages/s")]
    assert line.split() == ["send,", "messages/s", "2,000", "500", "4.00", "≥", "4", "yes"]


def test_times_says_how_often_ours_is_as_fast_for_rates_and_for_durations():
    samples = Samples()
    by_name = {workload.name: workload for workload in WORKLOADS}
    send, ping = by_name["send 100 B"], by_name["ping-pong, 2 processes"]
    for key, rate, p50 in (("ours", 400.0, 10.0), ("asgi_redis_1", 100.0, 20.0), ("channels_redis", 50.0, 80.0)):
        samples.add(send, BY_KEY[key], {"rate": rate})
        samples.add(ping, BY_KEY[key], {"p50": p50, "p99": 2 * p50})
    calls = main_tables([send, ping], samples)["calls"]
    assert calls.columns[:3] == ["asgi_redis 2 hiredis", "asgi_redis 2 without hiredis", "asgi_redis 1.4.3"]
    assert {line.name: line.values[-1] for line in calls.lines} == {
        "send 100 B": 4.0,
        "ping-pong, 2 processes, p50": 2.0,
        "ping-pong, 2 processes, p99": 2.0,
    }
    assert all(len(line.values) == len(COLUMNS) + 1 for line in calls.lines)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_each_results_file_has_tables_with_all_that_belongs_to_them(path):
    found = load(path)
    assert found["benchmark"] == path.stem
    for one in found["tables"].values():
        assert {"title", "command", "date", "seconds", "method", "machine", "versions"} < set(one)
        assert one["rows"]
        assert all(len(row["values"]) == len(one["columns"]) for row in one["rows"])
