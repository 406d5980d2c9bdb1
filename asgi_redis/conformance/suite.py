"""The base of all tests of the suite: the layer under test, and helpers."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

Layer = Any  # anyone's, and the tests pass it arguments of wrong types
MakeLayer = Callable[..., Layer]

PATIENCE_SECONDS = 20.0
"""A test fails when an event has not happened after this time."""

SETTLE_SECONDS = 0.05
"""The time in which a thread that is to wait begins to. Where it takes longer, a test proves less."""

KINDS = {"a": "a", "own!a": "own!", "reply?a": "reply?a"}
"""A name of each kind of channel, and the name to receive from."""

each_kind = pytest.mark.parametrize(("channel", "read"), KINDS.items(), ids=KINDS)


class Suite:
    """
    The base of the tests. Its attributes are the abilities of the layer.

    ``crosses_processes``: whether processes that are forked later share the messages. If not, each starts with an
    empty layer. With None, the attribute of the layer says so.

    ``in_one_place``: whether all messages are in one place. With shards, a normal channel is first in, first out on
    each shard only, and a batch takes one message of each channel in turn on each shard only.

    ``carries_bytes``: whether a message may hold byte strings. JSON has none.

    ``receive_batch``: whether there is ``receive_batch(channels, limit, timeout)``.

    ``unblock``: whether ``unblock()`` ends waits, and ``reader()`` returns a worker's reader.

    ``resolution``: the seconds by which expiry may be early or late in a test, on a busy machine.
    """

    crosses_processes: bool | None = None
    in_one_place = True
    carries_bytes = True
    receive_batch = True
    unblock = True
    resolution = 0.05

    @pytest.fixture
    def make_layer(self) -> MakeLayer:
        """Return a function that makes a new, empty layer. A subclass overrides it."""
        raise NotImplementedError("a subclass of ChannelLayerConformance needs a fixture make_layer")

    @pytest.fixture
    def layer_for(self, make_layer: MakeLayer) -> Iterator[MakeLayer]:
        """Make the layer of one test with options; flush and close it at the end."""
        made: list[Layer] = []

        def make(**options: Any) -> Layer:
            made.append(make_layer(**options))
            return made[-1]

        yield make
        for layer in made:
            if "flush" in layer.extensions:
                layer.flush()
            layer.close()

    @pytest.fixture
    def layer(self, layer_for: MakeLayer) -> Layer:
        """Return the layer with its default options."""
        return layer_for()

    @pytest.fixture
    def group_layer(self, layer: Layer) -> Layer:
        """Return the same layer; skip the test where it has no groups."""
        self.needs_extension(layer, "groups")
        return layer

    def is_shared(self, layer: Layer) -> bool:
        """Return whether forked processes share the messages of the layer."""
        shared: bool = layer.crosses_processes if self.crosses_processes is None else self.crosses_processes
        return shared

    def needs(self, ability: str) -> None:
        """Skip the test unless the attribute of the suite is set."""
        if not getattr(self, ability):
            pytest.skip(f"the layer is said to have {ability} = {getattr(self, ability)!r}")

    def needs_extension(self, layer: Layer, extension: str) -> None:
        """Skip the test unless the layer has the extension of ASGI 1.x."""
        if extension not in layer.extensions:
            pytest.skip(f"the layer does not have the extension {extension!r}")

    def needs_call(self, layer: Layer, call: str, argument: str = "") -> None:
        """Skip the test where an older layer does not have the call, or this argument."""
        found = getattr(layer, call, None)
        if found is None or (argument and argument not in inspect.signature(found).parameters):
            pytest.skip(f"the layer has no {call}({argument})")

    def is_before(self, moment: float) -> bool:
        """Return whether ``moment`` is still to come."""
        # On a busy machine a test may be too late for its assertion.
        return time.monotonic() < moment - self.resolution


def send_all(layer: Layer, channel: str, numbers: Iterable[int]) -> None:
    """Send ``{"n": number}`` for each number."""
    for number in numbers:
        layer.send(channel, {"n": number})


def send_until_full(layer: Layer, channel: str, numbers: Iterable[int]) -> list[int]:
    """Send ``{"n": number}`` for each number; return those for which there was room."""
    sent = []
    for number in numbers:
        try:
            layer.send(channel, {"n": number})
        except layer.ChannelFull:
            continue
        sent.append(number)
    return sent


def drain(layer: Layer, *channels: str) -> list[Any]:
    """Receive until there is nothing more; return the numbers."""
    numbers: list[Any] = []
    while (message := layer.receive(list(channels))[1]) is not None:
        numbers.append(message["n"])
    return numbers


def receive_within(layer: Layer, channels: list[str], seconds: float = PATIENCE_SECONDS) -> Any:
    """Return the next (channel, message); block again where a call returned nothing."""
    deadline = time.monotonic() + seconds
    while True:
        channel, message = layer.receive(channels, block=True)
        if channel is not None or time.monotonic() > deadline:
            return channel, message


def wait_until(moment: float) -> None:
    """Wait until the monotonic clock shows ``moment``."""
    while (remaining := moment - time.monotonic()) > 0:
        time.sleep(remaining)


class Threads:
    """Runs functions in threads; joins them at the end, and raises the first error."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, work: Callable[..., object], *arguments: object) -> threading.Thread:
        """Start a thread that calls ``work(*arguments)``."""

        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001  raised again in the end
                self._errors.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *exc_info: object) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._errors:
            raise self._errors[0]
        stuck = sum(thread.is_alive() for thread in self._threads)
        assert not stuck, f"{stuck} of {len(self._threads)} threads still run after {PATIENCE_SECONDS:g} s"
