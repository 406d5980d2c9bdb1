"""``benchmarks.interface``: that it measures, not how fast anything is."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from benchmarks.interface.__main__ import main
from benchmarks.interface.report import report
from benchmarks.interface.runner import Runner
from benchmarks.interface.subjects import ASGI, ASYNC, SYNC, THREADS
from benchmarks.interface.workloads import WORKLOADS
from benchmarks.samples import Samples

BY_NAME = {f"{workload.table}, {workload.name}": workload for workload in WORKLOADS}


@pytest.fixture(scope="module")
def runner():
    if shutil.which("taskset") is None:
        pytest.skip("it pins processes with Linux's taskset")
    pythons = dict.fromkeys([subject.environment for subject in (THREADS, ASGI, ASYNC)], sys.executable)
    cpus = sorted(os.sched_getaffinity(0))
    return Runner(pythons, cpus, cpus, seconds=0.05)


def measured(runner, stack, name: str, number: int):
    workload = BY_NAME[name]
    answer = runner.measure(workload._replace(number=number, seconds=0.05), stack)
    assert "error" not in answer, f"{answer}\n{stack.log()}"
    assert set(workload.figures) <= set(answer)
    assert all(value >= 0 for figure, value in answer.items() if "KiB" not in figure and figure != "memory")
    return answer


@pytest.mark.parametrize(
    "subject", [THREADS, pytest.param(ASYNC, marks=pytest.mark.soak)], ids=lambda subject: subject.key
)
def test_websockets_echo_get_a_group_message_and_idle(runner, subject):
    with runner.running(subject) as stack:
        assert measured(runner, stack, "Echo, 10 websockets", 3)["rate"] > 10
        assert measured(runner, stack, "Group, to 1,000", 3)["rate"] > 10
        assert measured(runner, stack, "Idle, 10,000", 3)["opened"] > 1


@pytest.mark.parametrize(
    "subject", [THREADS, pytest.param(ASGI, marks=pytest.mark.soak)], ids=lambda subject: subject.key
)
def test_a_view_is_asked_by_some_clients(runner, subject):
    with runner.running(subject) as stack:
        assert measured(runner, stack, "HTTP, 10 clients", 3)["rate"] > 10


def test_the_worker_is_replaced_while_websockets_echo(runner):
    with runner.running(THREADS) as stack:
        before = stack.roles["worker"]
        measured(runner, stack, "Restart, start, then stop", 3)
        assert not set(before) & set(stack.roles["worker"])


def test_a_server_that_has_gone_is_a_result_that_says_why(runner):
    with runner.running(ASGI) as stack:
        pass
    assert "refused" in runner.measure(BY_NAME["HTTP, 1 client"], stack)["error"]


@pytest.mark.parametrize(("ours", "verdict"), [(1400.0, "1.40  ≥ 1.3 yes"), (1200.0, "1.20  ≥ 1.3 NO")])
def test_the_table_sets_ours_beside_the_peer_of_the_aim(ours, verdict):
    workload, results = BY_NAME["Echo, 500 websockets"], Samples()
    for subject, rate in ((THREADS, ours), (SYNC, 1000.0), (ASYNC, 9000.0)):
        results.add(workload, subject, {"rate": rate, "p50": 1.0, "p99": 2.0, "cpu": 100.0})
    lines = [line for line in report(results).splitlines() if "frames/s" in line]
    assert len(lines) == 1
    assert lines[0].endswith(verdict)


def test_a_latency_is_to_be_under_the_aim():
    workload, results = BY_NAME["Echo, 1 websocket"], Samples()
    results.add(workload, THREADS, {"rate": 1.0, "p50": 0.9, "p99": 2.0, "cpu": 100.0})
    assert [line for line in report(results).splitlines() if line.endswith("≤ 1 yes")]


def test_what_was_kept_is_shown_again(tmp_path, capsys):
    results = Samples()
    results.add(BY_NAME["Echo, 1 websocket"], THREADS, {"rate": 1234.0, "p50": 0.9, "p99": 2.0, "cpu": 100.0})
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"about": ["on this machine"], "results": results.to_json()}))
    assert main(["--load", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert "on this machine" in shown
    assert "1,234" in shown


def test_what_failed_is_named_below_the_tables():
    results = Samples()
    results.add(BY_NAME["HTTP, 1 client"], ASGI, {"error": "no answer"})
    assert report(results) == "Failed: django_asgi, 1 client: no answer"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "("], r"\(: missing \)"),
        (["--only", "Echo", "--subjects", "daphne"], "matches 'daphne'; there are\n  ours_threads\n  ours_gevent"),
    ],
)
def test_a_choice_of_nothing_is_an_error_that_names_what_there_is(arguments, words):
    with pytest.raises(SystemExit, match=words):
        main(arguments)
