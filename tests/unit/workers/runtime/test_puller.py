from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.support.workers.fakes import QueueLayer
from workers.runtime.limits import ChannelLimits
from workers.runtime.pool import Pool
from workers.runtime.puller import BURST_WAIT_SECONDS, MAX_BATCH, Puller


@pytest.fixture
def layer() -> QueueLayer:
    return QueueLayer()


@pytest.fixture
def handled() -> list[Any]:
    return []


@pytest.fixture
def ended() -> list[BaseException | None]:
    return []


@pytest.fixture
def start(
    layer: QueueLayer, handled: list[Any], ended: list[BaseException | None]
) -> Iterator[Callable[..., tuple[Puller, Pool]]]:
    """Starts a pool of ``size`` on a puller; the handler waits for ``gate`` if there is one."""
    running: list[tuple[Puller, Pool]] = []

    def start(
        size: int, gate: threading.Event | None = None, limits: Any = (), **options: Any
    ) -> tuple[Puller, Pool]:
        def handle(channel: str, content: dict[str, Any]) -> None:
            handled.append(content["n"])
            if gate is not None:
                gate.wait(10)

        pool = Pool(size)
        puller = Puller(layer, ChannelLimits(["c", "d"], limits), handle, **options)
        running.append((puller, pool))
        pool.start(puller.fetch, ended.append)
        return running[-1]

    yield start
    for puller, pool in running:
        puller.quiet()
        assert pool.stop(time.monotonic() + 5)


def test_messages_go_to_the_handler(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    start(2)
    for n in range(20):
        layer.put("c", n=n)
    eventually(lambda: sorted(handled) == list(range(20)))


def test_nothing_is_fetched_without_a_free_slot(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    gate = threading.Event()
    start(2, gate)
    for n in range(5):
        layer.put("c", n=n)
    eventually(lambda: len(handled) == 2)
    calls = len(layer.limits)
    assert len(layer.waiting) == 3
    assert not layer.receiving
    gate.set()
    eventually(lambda: len(handled) == 5)
    assert len(layer.limits) > calls
    assert sorted(handled) == list(range(5))  # two slots finish in an order of their own


def test_as_many_are_fetched_at_once_as_slots_are_free(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    for n in range(3):
        layer.put("c", n=n)
    gate = threading.Event()
    start(4, gate)
    eventually(lambda: len(handled) == 3 and layer.receiving)
    assert layer.limits == [4, 1]
    gate.set()


def test_no_more_are_fetched_at_once_than_is_worth_it(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    start(1000)
    eventually(lambda: layer.limits)
    assert layer.limits == [MAX_BATCH]


def test_quiet_ends_a_waiting_receive_at_once(layer: QueueLayer, start: Any, ended: list[Any]) -> None:
    puller, pool = start(1)
    eventually(lambda: layer.receiving)
    before = time.monotonic()
    puller.quiet()
    assert pool.settle(before + 5)
    assert time.monotonic() - before < 1
    eventually(lambda: ended == [None])
    assert layer.closed


def test_quiet_ends_a_receive_that_is_about_to_start(
    layer: QueueLayer, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_door, may_enter = threading.Event(), threading.Event()
    receive = layer.receive_batch

    def late(*args: Any) -> list[Any]:
        at_the_door.set()
        may_enter.wait(5)
        return receive(*args)

    monkeypatch.setattr(layer, "receive_batch", late)
    puller, pool = start(1)
    at_the_door.wait(5)
    puller.quiet()
    before = time.monotonic()
    may_enter.set()
    assert pool.settle(before + 5)
    assert time.monotonic() - before < 1


def test_what_a_receive_brings_after_quiet_is_still_run(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    puller, pool = start(2)
    eventually(lambda: layer.receiving)
    # In the moment of the quiet: the receive ends with a message, not empty.
    layer.unblock = lambda: None  # type: ignore[method-assign]
    puller.quiet()
    layer.put("c", n=1)
    assert pool.stop(time.monotonic() + 5)
    assert handled == [1]


def test_quiet_before_the_start_is_kept(layer: QueueLayer) -> None:
    layer.put("c", n=1)
    puller = Puller(layer, ChannelLimits(["c"]), lambda channel, content: None)
    puller.quiet()
    assert puller.fetch(1, True) is None
    assert layer.limits == []


def test_what_the_reader_raises_is_passed_on(layer: QueueLayer, start: Any, ended: list[Any]) -> None:
    layer.fail_with = LookupError("a bug")
    start(1)
    eventually(lambda: ended == [layer.fail_with])


def test_a_channel_has_no_more_in_progress_than_its_limit(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    gate = threading.Event()
    for n in range(5):
        layer.put("c", n=n)
    start(4, gate, limits=[("c", 2)])
    eventually(lambda: len(handled) == 2 and layer.receiving)
    layer.put("d", n="d")
    eventually(lambda: "d" in handled)
    eventually(lambda: layer.receiving)
    assert handled == [0, 1, "d"]
    gate.set()
    eventually(lambda: len(handled) == 6)


def test_a_slot_of_a_limited_channel_is_used_at_once_when_it_is_free_again(
    layer: QueueLayer, handled: list[Any], start: Any
) -> None:
    gate = threading.Event()
    layer.put("c", n=0)
    start(2, gate, limits=[("c", 1)])
    eventually(lambda: handled == [0] and layer.receiving)
    layer.put("c", n=1)
    before = time.monotonic()
    gate.set()
    eventually(lambda: handled == [0, 1])
    assert time.monotonic() - before < 1  # the wait for the other channel lasts two seconds


def test_with_every_channel_at_its_limit_nothing_is_received(
    layer: QueueLayer, handled: list[Any], start: Any
) -> None:
    gate = threading.Event()
    layer.put("c", n=0)
    layer.put("d", n=1)
    layer.put("d", n=2)
    start(4, gate, limits=[("*", 1)])
    eventually(lambda: len(handled) == 2)
    assert not layer.receiving
    before = time.monotonic()
    gate.set()
    eventually(lambda: len(handled) == 3)
    assert time.monotonic() - before < 1  # looking for room lasts two seconds


def test_quiet_with_every_channel_at_its_limit_ends_pulling_at_once(
    layer: QueueLayer, handled: list[Any], start: Any
) -> None:
    gate = threading.Event()
    layer.put("c", n=0)
    puller, pool = start(4, gate, limits=[("*", 1)])
    eventually(lambda: handled == [0] and layer.receiving)
    pulled_at = puller.pulled_at
    layer.put("d", n=1)
    eventually(lambda: puller.pulled_at > pulled_at)  # it looks for room now, which there is not
    before = time.monotonic()
    puller.quiet()
    assert pool.settle(before + 5)
    assert time.monotonic() - before < 1  # looking for room lasts two seconds
    assert handled == [0, 1]
    gate.set()


@pytest.mark.parametrize("event", ["a message ends", "a stop"])
def test_what_happens_right_after_the_look_for_room_is_noticed(layer: QueueLayer, event: str) -> None:
    class Limits(ChannelLimits):
        def room(self) -> Any:
            found = super().room()
            if not found[0] and happens:
                happens.pop()()
            return found

    limits, happens = Limits(["c"], [("c", 1)]), list[Callable[[], object]]()
    puller = Puller(layer, limits, lambda channel, content: None)
    layer.put("c", n=0)
    (job,) = puller.fetch(2, True) or []
    happens.append(job if event == "a message ends" else puller.quiet)
    before = time.monotonic()
    assert puller.fetch(1, False) == []
    assert time.monotonic() - before < 1  # looking for room lasts two seconds
    assert happens == []


def test_a_burst_ends_when_the_channels_are_empty_and_nothing_runs(
    layer: QueueLayer, handled: list[Any], start: Any, ended: list[Any]
) -> None:
    gate = threading.Event()
    for n in range(3):
        layer.put("c", n=n)
    start(2, gate, burst=True)
    eventually(lambda: len(handled) == 2)
    layer.put("d", n=3)  # as if sent by one of them
    assert ended == []
    gate.set()
    eventually(lambda: ended == [None])
    assert sorted(handled) == [0, 1, 2, 3]


def test_a_burst_waits_a_little_where_no_server_answers_and_not_for_one_that_is_away(
    layer: QueueLayer, start: Any, ended: list[Any]
) -> None:
    layer.complete = False
    start(1, burst=True)
    eventually(lambda: len(layer.timeouts) > 10)
    assert layer.timeouts[0] == BURST_WAIT_SECONDS  # it had not served yet
    assert ended == []
    layer.complete = True
    eventually(lambda: ended == [None])


def test_a_burst_gives_up_when_a_server_has_not_answered_for_its_timeout_and_nothing_runs(
    layer: QueueLayer, start: Any, ended: list[Any], handled: list[Any]
) -> None:
    """The time counts anew each time that all have answered."""
    gate = threading.Event()
    layer.complete = False
    layer.put("c", n=1)
    puller, _ = start(2, gate, burst=True, burst_timeout=0.1)
    eventually(lambda: handled and len(layer.timeouts) > 20)
    assert ended == []
    layer.complete = True
    asked = len(layer.timeouts)
    eventually(lambda: len(layer.timeouts) > asked + 2)
    before = puller.pulled_at
    layer.complete = False
    gate.set()
    eventually(lambda: ended == [None])
    assert time.monotonic() - before >= 0.1
    assert puller.gave_up


def test_it_gives_a_sign_of_life_with_every_receive(layer: QueueLayer, start: Any) -> None:
    puller, _ = start(1)
    eventually(lambda: layer.receiving)
    before = time.monotonic()
    layer.unblock()
    eventually(lambda: puller.pulled_at > before)
