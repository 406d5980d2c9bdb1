"""``async def`` consumers, run by a dispatcher in threads."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.workers.fakes import FakeLayer
from tests.support.workers.processes import ROOT
from workers import Channel, route
from workers.exceptions import ConsumeLater, DenyConnection
from workers.generic import BaseConsumer
from workers.generic.websockets import WebsocketDemultiplexer
from workers.loops import coroutines
from workers.loops.shared_loop import SharedLoop
from workers.message import Message
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher
from workers.signals import consumer_started


def dispatch(consumer: Any, channel: str = "c", layer: Any = None, **content: Any) -> FakeLayer:
    layer = layer or FakeLayer()
    dispatcher = Dispatcher(Router([route(channel, consumer)]), layer, None)
    dispatcher.dispatch(channel, content)
    layer.failed = dispatcher.failed
    return layer


def in_thread(function: Any) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_what_it_and_its_tasks_send_goes_out_in_order_when_it_is_done() -> None:
    async def consumer(message: Message) -> None:
        async def child() -> None:
            Channel("b", channel_layer=message.channel_layer).send({})

        Channel("a", channel_layer=message.channel_layer).send({})
        await asyncio.create_task(child())
        assert message.channel_layer.sent == []  # type: ignore[attr-defined]

    layer = dispatch(consumer)
    assert [channel for channel, _ in layer.sent] == ["a", "b"]
    assert not layer.failed


def test_messages_handled_at_the_same_time_keep_their_sends_apart() -> None:
    meet = threading.Barrier(2)
    layers = [FakeLayer(), FakeLayer()]
    layers[1].errors["both"] = ValueError("refused")

    async def consumer(message: Message) -> None:
        Channel("both", channel_layer=message.channel_layer).send({})
        await asyncio.to_thread(meet.wait, 10)

    threads = [threading.Thread(target=dispatch, args=(consumer, "c", layer)) for layer in layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert layers[0].sent == [("both", {})]
    assert layers[1].sent == []


@pytest.mark.native("greenlets share one loop, which stays")
def test_a_thread_keeps_its_loop_and_closes_it_at_its_end() -> None:
    loops: list[Any] = []

    async def consumer(message: Message) -> None:
        loops.append(asyncio.get_running_loop())

    in_thread(lambda: [dispatch(consumer) for _ in range(3)])
    assert len(set(loops)) == 1
    assert loops[0].is_closed()


def test_exceptions_mean_what_they_mean_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    def raising(error: BaseException) -> Any:
        async def consumer(message: Message) -> None:
            raise error

        return consumer

    assert dispatch(raising(ConsumeLater())).sent == [("c", {"__retries__": 1})]
    denied = dispatch(raising(DenyConnection()), "websocket.connect", reply_channel="r!1")
    assert denied.sent == [("r!1", {"close": True})]
    for error in (asyncio.CancelledError(), SystemExit(1), ValueError("x")):
        caplog.clear()
        assert dispatch(raising(error)).failed == 1
        assert "Error in consumer" in caplog.text
    assert not dispatch(raising(ConsumeLater())).failed  # the loop has survived all that


def test_tasks_left_behind_are_cancelled_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def consumer(message: Message) -> None:
        async def child(error: Exception | None) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                Channel("last", channel_layer=message.channel_layer).send({})
                if error:
                    raise error

        message.tasks = [asyncio.create_task(child(error)) for error in (None, KeyError("mine"))]  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    layer = dispatch(consumer)
    assert layer.sent == [("last", {})] * 2
    assert "left behind" in caplog.text
    assert "mine" in caplog.text
    assert not layer.failed


def test_context_variables_that_signal_receivers_set_are_seen() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def receiver(**_: Any) -> None:
        variable.set("set")

    async def consumer(message: Message) -> None:
        seen.append(variable.get())

    consumer_started.connect(receiver)
    in_thread(lambda: dispatch(consumer))
    consumer_started.disconnect(receiver)
    assert seen == ["set"]


@pytest.fixture
def hooked() -> Iterator[list[str]]:
    """What the hook around consumers, and they, have noted."""
    notes: list[str] = []

    async def hook() -> None:
        await asyncio.sleep(0)
        notes.append("hook")
        if "broken" in notes:
            raise OSError("in the hook")

    coroutines.call_around(hook)
    yield notes
    coroutines.call_around(None)


@pytest.mark.parametrize("kind", ["function", "method", "stream"])
def test_a_hook_is_awaited_before_and_after_whatever_is_async(kind: str, hooked: list[str]) -> None:
    async def consumer(message: Message, **kwargs: Any) -> None:
        hooked.append("consumer")

    class Method(BaseConsumer):
        method_mapping = {"c": "method"}

        async def method(self, message: Message) -> None:
            await consumer(message)

    class Streams(WebsocketDemultiplexer):
        method_mapping = {"c": "raw_connect"}
        consumers = {"a": consumer}

    consumers: dict[str, Any] = {"function": consumer, "method": Method, "stream": Streams}
    assert not dispatch(consumers[kind], path="/", reply_channel="r!1").failed
    assert hooked == ["hook", "consumer", "hook"]


def test_a_hook_is_awaited_after_an_exception_too_and_does_not_hide_it(
    hooked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def later(message: Message) -> None:
        raise ConsumeLater

    async def exits(message: Message) -> None:
        raise SystemExit("mine")

    assert dispatch(later).sent == [("c", {"__retries__": 1})]
    assert hooked == ["hook"] * 2
    assert dispatch(exits).failed == 1
    assert hooked == ["hook"] * 4
    hooked.append("broken")
    assert dispatch(later).sent == [("c", {"__retries__": 1})]
    assert caplog.text.count("OSError: in the hook") == 2


def test_a_hook_that_raises_costs_no_message(hooked: list[str]) -> None:
    async def consumer(message: Message) -> None:
        hooked.append("consumer")

    hooked.append("broken")
    assert not dispatch(consumer).failed
    assert hooked == ["broken", "hook", "consumer", "hook"]


def test_a_shared_loop_goes_on_after_a_callback_that_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """Its consumers would wait for ever, and the worker with them."""
    before = set(threading.enumerate())
    loop = SharedLoop()

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    loop.call(sys.exit)
    assert loop.run(work()) == "done"
    assert "it goes on" in caplog.text
    loop.close(5)
    assert set(threading.enumerate()) <= before


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import asyncio
import time
import gevent
from tests.support.workers.fakes import FakeLayer
from tests.support.workers.processes import ROOT
from workers import Channel, route
from workers.runtime.dispatcher import Dispatcher
from workers.routing import Router

layers = [FakeLayer() for _ in range(20)]
loops = set()
ended = []

async def lasting():
    try:
        await asyncio.sleep(60)
    finally:
        ended.append(1)

async def exits():
    raise SystemExit("in a task")

async def consumer(message):
    loops.add(asyncio.get_running_loop())
    asyncio.create_task(lasting())
    await asyncio.sleep(0.2)
    Channel("out", channel_layer=message.channel_layer).send({"n": message["n"]})
    if message["n"] == 3:
        try:
            await asyncio.create_task(exits())
        except SystemExit:
            pass
    if message["n"] == 4:
        raise SystemExit("in a consumer")

def foreign(message):
    async def main():
        await asyncio.sleep(0.05)
        return asyncio.get_running_loop()
    for _ in range(5):
        loops.add(asyncio.run(main()))

before = time.monotonic()
dispatchers = [Dispatcher(Router([route("c", consumer), route("f", foreign)]), layer, None) for layer in layers]
work = [gevent.spawn(one.dispatch, "c", {"n": n}) for n, one in enumerate(dispatchers)]
work.append(gevent.spawn(dispatchers[0].dispatch, "f", {}))
gevent.joinall(work)
assert time.monotonic() - before < 5
assert [layer.sent for layer in layers] == [[("out", {"n": n})] for n in range(20)], layers
assert [one.failed for one in dispatchers] == [int(n == 4) for n in range(20)]
assert len(loops) == 6, loops
assert len(ended) == 20
print("fine")
"""


RUNNING_LOOPS = """
from gevent import monkey
monkey.patch_all()
import asyncio, greenlet, queue, socket, threading, time
from asgi_redis import InMemoryChannelLayer
from workers import Worker, route
from workers.loops import coroutines

traced = []
greenlet.settrace(lambda event, switch: traced.append(event))
mine, others, own, over = [], [], [], threading.Event()

def beside():
    while not over.is_set():
        others.append(asyncio._get_running_loop())
        time.sleep(0.001)

def with_its_own():
    async def main():
        task = asyncio.current_task()
        for _ in range(20):
            time.sleep(0.002)
            own.append((asyncio.get_running_loop(), asyncio.current_task()) == (loop, task))
            await asyncio.sleep(0.002)
            own.append((asyncio.get_running_loop(), asyncio.current_task()) == (loop, task))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()

def later(function, *arguments):
    threading.Timer(0.01, function, arguments).start()

async def consumer():
    mine.append(asyncio.get_running_loop())
    time.sleep(0.01)
    mine.append(asyncio.get_running_loop())
    await asyncio.sleep(0.01)
    mine.append(asyncio.get_running_loop())
    letters, (here, there) = queue.SimpleQueue(), socket.socketpair()
    later(letters.put, 1)
    letters.get()
    mine.append(asyncio.get_running_loop())
    later(there.send, b"x")
    here.recv(1)
    mine.append(asyncio.get_running_loop())
    # Its thread begins with the work before the one that starts it goes on.
    others.append(await mine[0].run_in_executor(None, asyncio._get_running_loop))
    mine.append(asyncio.get_running_loop())

worker = Worker(InMemoryChannelLayer(), [route("plain", lambda message: None)])
worker.start()
threads = [threading.Thread(target=one) for one in (beside, with_its_own, with_its_own)]
for one in threads:
    one.start()
for _ in range(3):
    coroutines.run(consumer())
over.set()
for one in threads:
    one.join()
assert len(mine) == 18 and len(set(mine)) == 1, mine
assert len(others) > 20 and set(others) == {None}, set(others)
assert own == [True] * 80, own
worker.quiet()
assert worker.stop(time.monotonic() + 10)
assert len(traced) > 100  # by what was there before
print("fine")
"""


def test_a_running_loop_and_its_task_are_those_of_their_greenlet_alone() -> None:
    """Whatever it waits for: Django refuses its database where there is a loop, and asyncio a second loop or task."""
    pytest.importorskip("gevent")
    ran = subprocess.run(
        [sys.executable, "-c", RUNNING_LOOPS], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.stdout == "fine\n", ran.stderr


def test_greenlets_share_a_loop_and_keep_their_sends_apart() -> None:
    """Also beside a greenlet that runs a loop of its own, and whatever the tasks raise."""
    pytest.importorskip("gevent")
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.stdout == "fine\n", ran.stderr
    assert "never retrieved" not in ran.stderr
    assert ran.stderr.count("Traceback") == 2
