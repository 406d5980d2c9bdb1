"""``benchmarks.longest``: that it measures, not how long anything takes."""

from __future__ import annotations

import os

import pytest

from benchmarks import longest


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="it pins its server to a processor")
def test_each_call_has_a_line_with_its_longest_command(capsys):
    assert longest.main(["--scale", "0.0005"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for call in ("group send, 100 B to 5 processes, encrypted", "receive, 500 expired messages", "flush, 500 keys"):
        (line,) = [line for line in lines if call in line]
        milliseconds, unit, *_ = line.split()
        assert unit == "ms"
        assert 0 <= float(milliseconds) < 10_000
