"""Whatever a consumer raises costs its own message, and nothing else."""

from __future__ import annotations

import re
import signal

from tests.support.faults.consumers import RAISE
from tests.support.faults.load import both_pools
from tests.support.waiting import eventually

ROUTING = "tests.support.faults.consumers.routing"
REPORT = "Error in consumer tests.support.faults.consumers.fail with a message on channel 'fail'\n"


@both_pools
def test_whatever_a_consumer_raises_costs_its_message_and_is_logged_and_the_next_one_runs(start, layer, notes, pool):
    worker = start(slots=1, routing=ROUTING)
    kinds = [kind for kind in RAISE if kind != "GreenletExit" or pool == "gevent"]
    for n, kind in enumerate(kinds):
        layer.send("fail", {"kind": kind})
        eventually(lambda n=n: worker.log.count(REPORT) == n + 1)
        layer.send("work", {"n": n})
        eventually(lambda n=n: notes.numbers("done") == list(range(n + 1)))
        *_, report = worker.log.split(REPORT)
        name = "RecursionError" if kind.startswith("recursion") else kind
        first, *_ = report.splitlines()
        assert first == "Traceback (most recent call last):"
        assert ", in fail\n" in report
        # Python 3.14 adds notes behind the last line: to which item of which list a RecursionError came, for example.
        assert re.search(rf"^([\w.]+\.)?{name}\b", report, re.MULTILINE)
    assert worker.running
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert f"{2 * len(kinds)} messages done, {len(kinds)} of them failed" in worker.log
