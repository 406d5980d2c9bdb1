"""``benchmarks.dispatch``: that it measures, not how fast anything is."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from asgi_redis.embedded import RedisServer
from benchmarks.dispatch.report import report
from benchmarks.dispatch.runner import Runner
from benchmarks.dispatch.subjects import SUBJECTS
from benchmarks.dispatch.workloads import WORKLOADS, Workload
from benchmarks.samples import Samples

OURS = [subject for subject in SUBJECTS if subject.kind == "ours"]
NO_OP = next(workload for workload in WORKLOADS if workload.name == "no-op, 8 slots")


@pytest.mark.skipif(shutil.which("taskset") is None, reason="it pins processes with Linux's taskset")
@pytest.mark.parametrize("subject", OURS, ids=lambda subject: subject.key)
def test_a_worker_of_ours_works_off_a_full_queue_and_is_measured(subject, fresh_redis_server: RedisServer):
    cpu = min(os.sched_getaffinity(0))
    runner = Runner({subject.environment: sys.executable}, worker_cpu=cpu, producer_cpu=cpu, seconds=0.01)
    figures = runner.measure(fresh_redis_server.port, NO_OP, subject)
    assert set(figures) == {"rate", "per_cpu"}
    assert all(figure > 100 for figure in figures.values())


@pytest.mark.skipif(shutil.which("taskset") is None, reason="it pins processes with Linux's taskset")
def test_a_worker_that_does_not_start_is_a_result_that_says_why(fresh_redis_server: RedisServer):
    class WithoutRouting:
        key, environment, app = "ours_thread", OURS[0].environment, "ours"
        variables = staticmethod(OURS[0].variables)

        @staticmethod
        def command(slots: int, port: int) -> list[str]:
            return ["python", "-m", "workers", "--layer-url", f"redis://127.0.0.1:{port}/0"]

    cpu = min(os.sched_getaffinity(0))
    runner = Runner({OURS[0].environment: sys.executable}, worker_cpu=cpu, producer_cpu=cpu, seconds=0.01)
    assert "--routing" in runner.measure(fresh_redis_server.port, NO_OP, WithoutRouting())["error"]


def _lines(ours: float, peer: float, workload: Workload = NO_OP) -> list[str]:
    results = Samples()
    for subject in SUBJECTS:
        if subject.pool == "thread":
            rate = ours if subject.kind == "ours" else peer
            results.add(workload, subject, dict.fromkeys(workload.figures, rate))
    return report([workload], SUBJECTS, results).splitlines()


def test_the_table_sets_ours_beside_the_best_peer():
    assert any("2.00" in line and line.endswith("≥ 2 yes") for line in _lines(ours=8000, peer=4000))
    assert any("1.50" in line and line.endswith("≥ 2 NO") for line in _lines(ours=6000, peer=4000))


def test_the_target_of_a_sleep_is_a_share_of_the_sleep_alone():
    sleeps = next(workload for workload in WORKLOADS if workload.name == "sleeps 1 ms, 8 slots")
    assert any(line.endswith("96% of 95% yes") for line in _lines(ours=960, peer=1000, workload=sleeps))
    assert any(line.endswith("94% of 95% NO") for line in _lines(ours=940, peer=1000, workload=sleeps))


@pytest.mark.skipif(shutil.which("taskset") is None, reason="it pins processes with Linux's taskset")
def test_the_sleep_alone_is_measured(fresh_redis_server: RedisServer):
    sleeps = next(workload for workload in WORKLOADS if workload.name == "sleeps 1 ms, 8 slots")
    (bare,) = [subject for subject in sleeps.subjects() if subject.kind == "floor"]
    cpu = min(os.sched_getaffinity(0))
    runner = Runner({bare.environment: sys.executable}, worker_cpu=cpu, producer_cpu=cpu, seconds=0.01)
    assert 100 < runner.measure(fresh_redis_server.port, sleeps, bare)["rate"] < 8000


def test_of_latencies_the_table_wants_less():
    half_load = next(workload for workload in WORKLOADS if workload.half_load)
    assert any(line.endswith("≤ 5,000 yes") for line in _lines(ours=4000, peer=1, workload=half_load))
    assert any(line.endswith("≤ 5,000 NO") for line in _lines(ours=6000, peer=9000, workload=half_load))


def test_what_failed_is_named_below_the_tables():
    results = Samples()
    results.add(NO_OP, OURS[0], {"error": "the worker has ended with 1: no"})
    assert report([NO_OP], SUBJECTS, results).endswith(
        "workers threads, no-op, 8 slots: the worker has ended with 1: no"
    )
