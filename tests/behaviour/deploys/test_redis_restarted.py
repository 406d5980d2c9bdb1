"""Redis is restarted, with persistence: the sockets stay open, and the cost is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.deploys.figures import RESTARTS, DeployFigures, described
from tests.support.deploys.losses import ANSWER_TAKEN, FRAME_TAKEN, PERSISTENT, places
from tests.support.deploys.stack import GEVENT, THREADS, Report, Stack

pytestmark = pytest.mark.native("signals and processes")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("paused", [True, False], ids=["paused", "at once"])
def test_no_socket_is_closed(stack_of: Callable[..., Stack], paused: bool) -> None:
    """After a CLIENT PAUSE nothing is lost either; without, what Redis had handed out and not delivered."""
    restart(stack_of(redis_options={**PERSISTENT, "appendfsync": "everysec"}), "/plain", paused, 100, 0.5, 1)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("path", "flags", "appendfsync", "paused"),
    [
        ("/plain", THREADS, "everysec", True),
        ("/ordered", THREADS, "always", True),
        ("/plain", GEVENT, "always", True),
        ("/ordered", GEVENT, "everysec", True),
        ("/plain", THREADS, "everysec", False),
        ("/plain", GEVENT, "always", False),
    ],
)
def test_a_thousand_sockets_and_five_restarts(
    stack_of: Callable[..., Stack],
    path: str,
    flags: tuple[str, ...],
    appendfsync: str,
    paused: bool,
    figures: DeployFigures,
) -> None:
    options: dict[str, Any] = {**PERSISTENT, "appendfsync": appendfsync}
    how = "after a pause" if paused else "at once"
    with figures.row(RESTARTS, f"5 restarts {how}, {described(path, flags)}, {appendfsync}") as add:
        report, found = restart(stack_of(flags=flags, redis_options=options), path, paused, 1000, 0.1, 5)
        add(report, {"lost answers": found[ANSWER_TAKEN], "lost frames": found[FRAME_TAKEN]})


def restart(
    stack: Stack, path: str, paused: bool, sockets: int, rate: float, restarts: int
) -> tuple[Report, Counter[str]]:
    """Return what the clients have seen, and how many frames were lost where."""
    clients = stack.clients(path, sockets, rate)
    for _ in range(restarts):
        stack.await_answers(sockets // 2)
        stack.restart_redis(paused)
    stack.await_answers(sockets // 2)
    report = clients.finish(20)
    begun = stack.records()["begun"]
    found = places(report.lost, begun, stack.redis.directory)
    text = f"{restarts} restarts: {report}; lost: {dict(found)}"
    assert (report.closed, report.doubled, report.foreign) == ({}, [], []), f"{text}\n{stack.logs()}"
    assert sum(begun.values()) == len(begun), "a frame was done twice"
    if path == "/ordered":
        assert report.disordered == []
    if paused:
        assert report.lost == [], f"{text}\n{stack.logs()}"
    assert found.keys() <= {ANSWER_TAKEN, FRAME_TAKEN}, f"a send was lost: {text}\n{stack.logs()}"
    return report, found
