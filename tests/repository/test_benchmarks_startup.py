"""``benchmarks.startup``: that it measures, not how long anything takes."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import startup


def test_each_import_is_timed():
    times = startup.import_times(sys.executable, rounds=1)
    assert set(times) == set(startup.IMPORTS)
    assert all(0 < taken < 60_000 for (taken,) in times.values())


# A session of one process, which has a second one from the first line that it reads on.
GROWS = """
import subprocess, sys
print("one", flush=True)
sys.stdin.readline()
with subprocess.Popen([sys.executable, "-c", "print('two', flush=True); input()"]):
    pass
"""


def test_the_memory_of_a_session_is_that_of_all_its_processes_and_of_no_other():
    with subprocess.Popen(
        [sys.executable, "-c", GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"one\n"
        one = startup.memory_of_session(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"two\n"
        two = startup.memory_of_session(process.pid)
        process.stdin.write(b"\n")
    assert 1 < one["Pss"] <= one["Rss"] < 500
    assert one["Rss"] + 1 < two["Rss"] < 500
    assert startup.memory_of_session(process.pid) == {"Rss": 0, "Pss": 0}
