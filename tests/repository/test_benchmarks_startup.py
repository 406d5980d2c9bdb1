"""``benchmarks.startup``: that it measures, not how long anything takes."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks import startup


def test_each_import_is_timed():
    times = startup.import_times(sys.executable, rounds=1)
    assert set(times) == set(startup.IMPORTS)
    assert all(0 < taken < 60_000 for (taken,) in times.values())


def test_the_memory_of_a_session_is_that_of_all_its_processes():
    program = "import subprocess, sys; print('runs', flush=True); subprocess.run(['cat'], input=None)"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"runs\n"
        found = startup.memory_of_session(process.pid)
        alone = startup.memory_of_session(os.getsid(0))
        process.stdin.close()
    assert 1 < found["Pss"] <= found["Rss"] < 500
    assert alone != found
