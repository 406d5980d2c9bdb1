"""A layer that was made, and used, before a fork: as in servers that fork their workers."""

from __future__ import annotations

import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from asgi_redis.conformance.suite import PATIENCE, Layer, MakeLayer, Suite, drain, receive_within, send_all


class Child:
    """A forked process that runs a function; ``result`` is what that returned, which JSON can hold."""

    def __init__(self, work: Callable[[], Any]) -> None:
        # A file, not a pipe: for what comes out of that, a process that gevent has patched would wait in vain.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  result() closes it
        self._pid = os.fork()
        if not self._pid:
            code = 1
            try:
                self._output.write(json.dumps(work()).encode())
                self._output.flush()
                code = 0
            except BaseException:  # noqa: BLE001  nothing may get out into the parent's tests
                traceback.print_exc()
            finally:
                os._exit(code)

    def result(self) -> Any:
        """Waits for the end of the process."""
        _, status = os.waitpid(self._pid, 0)
        with self._output:
            self._output.seek(0)
            output = self._output.read()
        assert status == 0, f"the forked process failed, status {status}: see its standard error"
        return json.loads(output)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# A test runner may have threads, about which the child does nothing.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class ProcessTests(Suite):
    """Promises of this project."""

    def test_parent_and_child_send_to_each_other(self, layer: Layer) -> None:
        """With one layer object, which both have used."""
        self.needs("crosses_processes")
        send_all(layer, "warm", range(2))
        assert sorted(drain(layer, "warm")) == [0, 1]

        def answer() -> None:
            for _ in range(5):
                _, message = receive_within(layer, ["questions"])
                layer.send(message["reply_to"], {"n": message["n"] + 1})

        child = Child(answer)
        reply_to = layer.new_channel("reply?")
        for number in range(5):
            layer.send("questions", {"n": number, "reply_to": reply_to})
            assert receive_within(layer, [reply_to]) == (reply_to, {"n": number + 1})
        child.result()

    def test_processes_share_the_work_and_double_nothing(self, layer_for: MakeLayer) -> None:
        """Each message is received by one of them."""
        self.needs("crosses_processes")
        layer = layer_for(capacity=200)
        layer.receive(["a", "own!"])
        layer.block_timeout = 0.3

        def receive() -> list[int]:
            received: list[int] = []
            while True:
                channel, message = layer.receive(["a", "own!"], block=True)
                if channel is None:
                    return received
                received.append(message["n"])

        children = [Child(receive) for _ in range(2)]
        send_all(layer, "a", range(100))
        send_all(layer, "own!a", range(100, 200))
        received = receive() + [number for child in children for number in child.result()]
        assert sorted(received) == list(range(200))

    def test_a_group_reaches_a_member_in_another_process(self, layer: Layer) -> None:
        """Joined there, sent to from here."""
        self.needs("crosses_processes")
        self.needs_extension(layer, "groups")

        def join() -> Any:
            layer.group_add("g", "member?child")
            layer.send("joined", {})
            return receive_within(layer, ["member?child"])

        child = Child(join)
        assert receive_within(layer, ["joined"]) == ("joined", {})
        assert layer.send_group("g", {"n": 1}) == 0
        assert child.result() == ["member?child", {"n": 1}]

    def test_what_the_child_does_not_share_is_empty_and_works(self, layer: Layer) -> None:
        """The layer of a single process: the child has one of its own."""
        if self.crosses_processes:
            pytest.skip("the layer crosses processes")
        send_all(layer, "a", range(3))

        def look() -> list[Any]:
            before = layer.receive(["a"])
            send_all(layer, "a", (7,))
            return [before, drain(layer, "a"), receive_in_child(layer)]

        assert Child(look).result() == [[None, None], [7], [None, None]]
        assert drain(layer, "a") == [0, 1, 2]

    def test_a_child_that_ends_takes_nothing_with_it(self, layer: Layer) -> None:
        """Neither connections nor messages of the parent."""
        send_all(layer, "reply?a", range(3))
        assert Child(lambda: "done").result() == "done"
        assert drain(layer, "reply?a") == [0, 1, 2]
        layer.send("reply?a", {"n": 3})
        assert receive_within(layer, ["reply?a"]) == ("reply?a", {"n": 3})


def receive_in_child(layer: Layer) -> Any:
    """Returns what a blocking receive in a new process returns, within its time."""
    layer.block_timeout = 0.1
    began = time.monotonic()
    received = layer.receive(["a"], block=True)
    assert 0.09 <= time.monotonic() - began < PATIENCE
    return received
