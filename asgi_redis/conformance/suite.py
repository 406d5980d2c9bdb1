"""What all parts of the suite have in common: the layer under test, and what it can do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

Settings = Any
Layer = Any  # the layer under test: it is the tests that find out what it has
MakeLayer = Callable[..., Layer]

PATIENCE = 20.0  # seconds after which something that should have happened has not


class Suite:
    """
    Base of all parts. Its attributes say what the layer under test can do, and are set in the subclass.

    ``crosses_processes``: whether processes that are forked later share the messages; if not, each starts with an
    empty layer. Where a layer within one process does not say so, two tests of processes fail.

    ``in_one_place``: whether all messages are in one place. With shards a normal channel is first in, first out on
    each shard only, and a batch takes one of each channel in turn on each shard only.

    ``carries_bytes``: whether a message may hold byte strings; JSON has none.

    ``receive_batch``: whether there is ``receive_batch(channels, limit, timeout)``.

    ``unblock``: whether ``unblock()`` ends what waits, and ``reader()`` returns a worker's reader.

    ``resolution``: seconds that expiry may be late or early by, in the tests only: how busy the machine is that runs
    them.
    """

    crosses_processes = True
    in_one_place = True
    carries_bytes = True
    receive_batch = True
    unblock = True
    resolution = 0.05

    @pytest.fixture
    def make_layer(self) -> MakeLayer:
        """Returns what makes a new, empty layer from settings given by name. To be overridden."""
        raise NotImplementedError("a subclass of ChannelLayerConformance needs a fixture make_layer")

    @pytest.fixture
    def layer_for(self, make_layer: MakeLayer) -> Iterator[MakeLayer]:
        """Makes the layer of one test, which is emptied and closed in the end."""
        made: list[Layer] = []

        def make(**settings: Settings) -> Layer:
            layer = make_layer(**settings)
            made.append(layer)
            return layer

        yield make
        for layer in made:
            if "flush" in layer.extensions:
                layer.flush()
            if hasattr(layer, "close"):
                layer.close()

    @pytest.fixture
    def layer(self, layer_for: MakeLayer) -> Layer:
        """The layer with its own settings."""
        return layer_for()

    def needs(self, feature: str) -> None:
        """Skips the test unless the layer has the feature."""
        if not getattr(self, feature):
            pytest.skip(f"the layer is said to have {feature} = {getattr(self, feature)!r}")

    def needs_extension(self, layer: Layer, extension: str) -> None:
        """Skips the test unless the layer has the extension of ASGI 1.x."""
        if extension not in layer.extensions:
            pytest.skip(f"the layer does not have the extension {extension!r}")


def send_all(layer: Layer, channel: str, numbers: Iterable[int]) -> None:
    """Sends ``{"n": number}`` for each."""
    for number in numbers:
        layer.send(channel, {"n": number})


def send_what_fits(layer: Layer, channel: str, numbers: Iterable[int]) -> list[int]:
    """Sends ``{"n": number}`` for each; returns those for which there was room."""
    sent = []
    for number in numbers:
        try:
            layer.send(channel, {"n": number})
        except layer.ChannelFull:
            continue
        sent.append(number)
    return sent


def drain(layer: Layer, *channels: str) -> list[Any]:
    """Receives all that is there; returns the numbers."""
    numbers: list[Any] = []
    while True:
        _, message = layer.receive(list(channels))
        if message is None:
            return numbers
        numbers.append(message["n"])


def receive_within(layer: Layer, channels: list[str], seconds: float = PATIENCE) -> Any:
    """Returns the next (channel, message); waits again where a blocking call has waited in vain."""
    deadline = time.monotonic() + seconds
    while True:
        channel, message = layer.receive(channels, block=True)
        if channel is not None or time.monotonic() > deadline:
            return channel, message


def until(moment: float) -> None:
    """Lets time pass until the monotonic clock shows ``moment``; time is what the test is about."""
    while (remaining := moment - time.monotonic()) > 0:
        time.sleep(remaining)


class Threads:
    """Runs functions in threads; leaving the ``with`` waits for them, and raises what the first one raised."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, work: Callable[..., object], *arguments: object) -> threading.Thread:
        """Starts a thread that calls ``work(*arguments)``."""

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
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._errors:
            raise self._errors[0]
        stuck = sum(thread.is_alive() for thread in self._threads)
        assert not stuck, f"{stuck} of {len(self._threads)} threads still run after {PATIENCE:g} s"
