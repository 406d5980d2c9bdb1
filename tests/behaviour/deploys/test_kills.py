"""SIGKILL of a worker, and of the web server: the cost is known exactly."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import redis

from tests.support.deploys.figures import KILLS, DeployFigures
from tests.support.deploys.stack import Report, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.native("signals and processes"), pytest.mark.timeout(180)]

SLOTS = 4


def frames(pairs: list[tuple[int, int]]) -> set[str]:
    return {f"{socket}:{number}" for socket, number in pairs}


def test_a_killed_worker_costs_the_frames_that_its_consumers_had_in_hand(stack_of: Callable[..., Stack]) -> None:
    stack = stack_of()
    clients = stack.clients("/hold", sockets=20, rate=10, limit=1)
    stack.eventually_holds(2 * SLOTS)
    killed = stack.kill_worker(0)
    stack.go()
    report = clients.finish(3)
    in_hand = set(stack.records(killed)["holds"])
    assert len(in_hand) == SLOTS
    assert (report.sent, report.closed, report.doubled) == (20, {}, [])
    assert frames(report.lost) == in_hand


@pytest.mark.soak
def test_kills_under_load_cost_no_more_than_the_slots(stack_of: Callable[..., Stack]) -> None:
    kill(stack_of(work_seconds=0.01), sockets=50, rate=2, kills=3)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_twenty_kills_under_load(stack_of: Callable[..., Stack], figures: DeployFigures) -> None:
    with figures.row(KILLS, "20 workers killed") as add:
        report, begun = kill(stack_of(work_seconds=0.01), sockets=1000, rate=0.1, kills=20)
        add(report, {"lost that were begun": begun})


def kill(stack: Stack, sockets: int, rate: float, kills: int) -> tuple[Report, int]:
    """Return what the clients have seen, and how many of the lost frames a consumer had begun."""
    clients = stack.clients("/plain", sockets, rate)
    killed = [stack.kill_worker(number % 2) for number in range(kills)]
    report = clients.finish(5)
    lost = frames(report.lost)
    assert (report.closed, report.doubled, report.foreign) == ({}, [], [])
    everywhere = stack.records()
    begun = 0
    for pid in killed:
        records = stack.records(pid)
        assert set(records["begun"] - records["done"]) <= lost, "answered before the consumer was done"
        of_this = lost & set(records["begun"])
        assert len(of_this) <= SLOTS
        begun += len(of_this)
    untouched = [frame for frame in lost if not everywhere["begun"][frame]]
    assert len(lost) == begun + len(untouched), "lost by a worker that was not killed"
    assert len(lost) <= SLOTS * kills
    return report, begun


def test_a_killed_web_server_leaves_nothing_behind(stack_of: Callable[..., Stack]) -> None:
    """The workers go on, and serve the next one; the keys of the first end with their time."""
    stack = stack_of(expiry=2, group_expiry=4)
    stack.clients("/plain", sockets=50, rate=2)
    with redis.Redis.from_url(stack.redis.url, protocol=2) as client:
        eventually(lambda: client.zcard("asgi:group:all") == 50)
        stack.interface.signal(signal.SIGKILL)
        stack.interface.wait()
        stack.start_interface()
        second = stack.clients("/plain", sockets=20, rate=2, limit=2)
        eventually(lambda: client.zcard("asgi:group:all") >= 20)
        report = second.finish()
        assert (report.closed, report.lost, report.doubled) == ({}, [], [])
        assert report.sent == 40
        second.close()
        eventually(lambda: sum(stack.records()["disconnected"].values()) == 20)
        assert all(worker.running for worker in stack.workers)
        assert all(client.ttl(key) > 0 for key in client.scan_iter(count=1000))
        lasting = b"meta", b":process"  # counters, and the processes that run
        eventually(lambda: all(any(part in key for part in lasting) for key in client.scan_iter(count=1000)))
