"""Whatever a consumer raises costs its own message; what is raised in slots from outside costs the slot, at first."""

from __future__ import annotations

import signal

from tests.support.faults.consumers import RAISE
from tests.support.faults.load import SLOTS, both_pools, left_in
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
        first, *_, last = report.splitlines()
        assert first == "Traceback (most recent call last):"
        assert ", in fail\n" in report
        assert name in last
    assert worker.running
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert f"{2 * len(kinds)} messages done, {len(kinds)} of them failed" in worker.log
    assert "replacing it" not in worker.log


def deaths(worker):
    """Returns how many slots have died: they wait for a job, but for one, which fetches."""
    return worker.log.count("replacing it") + worker.log.count("Pulling has failed; it goes on")


@both_pools
def test_slots_that_die_are_replaced_and_the_worker_fails_when_that_keeps_happening(start, layer, notes):
    """None of the messages is lost: each was run, or is still in Redis."""
    worker = start(routing=ROUTING)
    layer.send("strike", {"number": 2})
    eventually(lambda: notes["struck"] == ["2"])
    for n in range(50):
        layer.send("work", {"n": n, "seconds": 0.01})
    eventually(lambda: notes.numbers("done") == list(range(50)))
    eventually(lambda: deaths(worker) == 2)
    assert worker.running
    layer.send("strike", {"number": SLOTS - 1})
    eventually(lambda: notes["struck"] == ["2", str(SLOTS - 1)])
    for n in range(50, 100):
        layer.send("work", {"n": n, "seconds": 0.01})
    assert worker.wait() == 4
    assert "Pulling fails, or pool threads die, again and again; the worker ends" in worker.log
    assert notes.numbers("started") == notes.numbers("done")
    assert sorted(notes.numbers("done") + left_in(layer)) == list(range(100))
