"""New code is deployed by restarting the workers; no websocket notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.support.deploys.figures import DEPLOYS, DeployFigures, described
from tests.support.deploys.stack import GEVENT, THREADS, Report, Stack

pytestmark = pytest.mark.native("signals and processes")

SETUPS = [("/ordered", THREADS), ("/plain", GEVENT), ("/plain", THREADS), ("/ordered", GEVENT)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("path", "flags"), [SETUPS[0], pytest.param(*SETUPS[1], marks=pytest.mark.soak)])
def test_no_frame_is_lost_doubled_or_overtaken(
    stack_of: Callable[..., Stack], path: str, flags: Sequence[str]
) -> None:
    deploy(stack_of(flags=flags), path, sockets=100, rate=0.5, restarts=3)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("path", "flags"), SETUPS)
def test_a_thousand_sockets_and_twenty_restarts(
    stack_of: Callable[..., Stack], path: str, flags: Sequence[str], figures: DeployFigures
) -> None:
    with figures.row(DEPLOYS, f"20 deploys, {described(path, flags)}") as add:
        add(deploy(stack_of(flags=flags), path, sockets=1000, rate=0.1, restarts=20))


def deploy(stack: Stack, path: str, sockets: int, rate: float, restarts: int) -> Report:
    """Restarts all workers with new code, again and again; each time the other way round."""
    clients = stack.clients(path, sockets, rate)
    for version in range(1, restarts + 1):
        stack.release(version)
        stack.restart_workers(stop_first=version % 2 == 0)
    report = clients.finish(30)
    assert report.sent > sockets, "the clients have sent too little to show anything"
    assert (report.closed, report.lost, report.doubled, report.foreign) == ({}, [], [], []), stack.logs()
    if path == "/ordered":
        assert report.disordered == []
    assert len(report.versions) > restarts / 2, "the answers tell nothing of new code"
    begun = stack.records()["begun"]
    assert (len(begun), sum(begun.values())) == (report.sent, report.sent)
    return report


@pytest.mark.timeout(120)
def test_the_order_is_that_of_the_consumers_alone_without_enforce_ordering(stack_of: Callable[..., Stack]) -> None:
    """So the tests above can tell."""
    stack = stack_of(work_seconds=0.02)
    clients = stack.clients("/plain", sockets=2, rate=200, limit=200)
    report = clients.finish()
    assert (report.lost, report.doubled) == ([], [])
    assert report.disordered


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_flood_of_ordered_frames_waits_for_its_turn(stack_of: Callable[..., Stack]) -> None:
    """However many slots take frames of one socket, and however full the channels are."""
    stack = stack_of(work_seconds=0.005, flags=("--threads", "20"))
    report = stack.clients("/ordered", sockets=3, rate=1000, limit=300).finish(30)
    assert (report.sent, report.closed, report.lost) == (900, {}, []), stack.logs()
    assert (report.doubled, report.disordered) == ([], [])


@pytest.mark.timeout(120)
def test_a_worker_that_is_stopped_finishes_what_it_has_begun(stack_of: Callable[..., Stack]) -> None:
    """What its consumers have sent goes out, and other workers do what they had not begun."""
    stack = stack_of()
    clients = stack.clients("/hold", sockets=20, rate=10, limit=1)
    stopped = stack.workers[0]
    stack.eventually_holds(8)
    stopped.signal(15)
    stack.eventually_logs(stopped, "stopping; 4 consumers run")
    stack.go()
    assert stopped.wait() == 0, stopped.log
    report = clients.finish()
    assert (report.sent, report.lost, report.doubled) == (20, [], [])
    assert sum(stack.records(stopped.pid)["done"].values()) == 4
