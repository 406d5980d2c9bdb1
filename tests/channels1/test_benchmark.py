"""``benchmarks.channels1``: that it measures, not how fast anything is."""

from __future__ import annotations

import sys

import pytest

from benchmarks.channels1.__main__ import report
from benchmarks.channels1.stack import running
from benchmarks.channels1.subjects import OURS, SUBJECTS
from benchmarks.channels1.workloads import WORKLOADS
from benchmarks.samples import Samples
from tests.channels1 import stack as _stack  # noqa: F401  skips this where there is no Channels 1


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.environment == OURS], ids=lambda one: one.key)
def test_every_workload_is_measured(subject, fresh_redis_server):
    results = Samples()
    with running(sys.executable, fresh_redis_server.url, subject) as port:
        for workload in WORKLOADS:
            answer = workload.measure(port, 0.3)
            assert set(answer) == {"rate", "p50", "p99"}
            assert all(figure > 0 for figure in answer.values())
            results.add(workload, subject, answer)
    table = report([subject], results)
    assert all(workload.name in table for workload in WORKLOADS)
    assert "Failed" not in table
