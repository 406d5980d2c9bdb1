"""Redis is restarted, with persistence: the sockets stay open, and the cost is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.deploys.losses import PERSISTENT, places
from tests.support.deploys.stack import GEVENT, THREADS, Stack

pytestmark = pytest.mark.native("signals and processes")


@pytest.mark.timeout(180)
def test_no_socket_is_closed(stack_of: Callable[..., Stack]) -> None:
    restart(stack_of(redis_options={**PERSISTENT, "appendfsync": "everysec"}), "/plain", 100, 0.5, 2)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
@pytest.mark.parametrize("flags", [THREADS, GEVENT])
@pytest.mark.parametrize("path", ["/plain", "/ordered"])
def test_a_thousand_sockets_and_five_restarts(
    stack_of: Callable[..., Stack],
    path: str,
    flags: tuple[str, ...],
    appendfsync: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack = stack_of(flags=flags, redis_options={**PERSISTENT, "appendfsync": appendfsync})
    text = restart(stack, path, 1000, 0.2, 5)
    with capsys.disabled():
        print(f"\n{path} {flags} {appendfsync}: {text}")  # noqa: T201  the figures of docs/deploys.rst


def restart(stack: Stack, path: str, sockets: int, rate: float, restarts: int) -> str:
    clients = stack.clients(path, sockets, rate)
    for _ in range(restarts):
        stack.await_answers(sockets)
        stack.redis.stop()
        stack.redis.start()
    stack.await_answers(sockets)
    report = clients.finish(10)
    begun = stack.records()["begun"]
    found = places(report.lost, begun, stack.redis.directory)
    text = f"{restarts} restarts: {report}; lost: {dict(found)}"
    assert (report.closed, report.doubled, report.foreign) == ({}, [], []), f"{text}\n{stack.logs()}"
    assert begun.total() == len(begun), "a frame was done twice"
    # At most once: a request that was written when the server ended, and not answered, is not made again.
    requests = sum(stack.logs().count(words) for words in ("may be lost", "Could not send to"))
    assert len(report.lost) <= requests + restarts * stack.readers, f"{text}\n{stack.logs()}"
    return text
