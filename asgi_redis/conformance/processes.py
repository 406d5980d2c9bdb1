"""A layer that was made and used before a fork, as in servers that fork workers."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from asgi_redis.conformance.suite import PATIENCE_SECONDS, Layer, MakeLayer, Suite, drain, receive_within, send_all


class Child:
    """A forked process that runs a function. Its result is sent as JSON."""

    def __init__(self, work: Callable[[], Any]) -> None:
        # A file, not a pipe: a process that gevent has patched would wait in vain for the output of a pipe.
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
        """Wait for the end of the process; return the result of its function."""
        _, status = os.waitpid(self._pid, 0)
        with self._output:
            self._output.seek(0)
            output = self._output.read()
        assert status == 0, f"the forked process failed, status {status}: see its standard error"
        return json.loads(output)


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork")
# A test runner may have threads, about which the child does nothing.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class ProcessTests(Suite):
    """Tests of promises of this project."""

    def needs_sharing(self, layer: Layer) -> None:
        """Skip the test unless forked processes share the messages of the layer."""
        if not self.is_shared(layer):
            pytest.skip("the layer does not cross processes")

    def test_parent_and_child_send_to_each_other(self, layer: Layer) -> None:
        """They do so with one layer object, which both have used."""
        self.needs_sharing(layer)
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

    def test_processes_share_the_messages_and_double_none(self, layer_for: MakeLayer) -> None:
        layer = layer_for(capacity=200)
        self.needs_sharing(layer)
        layer.receive(["a", "own!"])
        layer.block_timeout = 0.3

        def receive() -> list[int]:
            received: list[int] = []
            while (message := layer.receive(["a", "own!"], block=True)[1]) is not None:
                received.append(message["n"])
            return received

        children = [Child(receive) for _ in range(2)]
        send_all(layer, "a", range(100))
        send_all(layer, "own!a", range(100, 200))
        received = receive() + [number for child in children for number in child.result()]
        assert sorted(received) == list(range(200))

    def test_a_group_reaches_a_member_in_another_process(self, group_layer: Layer) -> None:
        self.needs_sharing(group_layer)

        def join() -> Any:
            group_layer.group_add("g", "member?child")
            group_layer.send("joined", {})
            return receive_within(group_layer, ["member?child"])

        child = Child(join)
        assert receive_within(group_layer, ["joined"]) == ("joined", {})
        assert group_layer.send_group("g", {"n": 1}) == 0
        assert child.result() == ["member?child", {"n": 1}]

    def test_a_child_that_shares_no_messages_has_an_empty_layer_that_works(self, layer: Layer) -> None:
        if self.is_shared(layer):
            pytest.skip("the layer crosses processes")
        send_all(layer, "a", range(3))

        def look() -> list[Any]:
            before = layer.receive(["a"])
            send_all(layer, "a", (7,))
            received = drain(layer, "a")
            layer.block_timeout = 0.1
            began = time.monotonic()
            after = layer.receive(["a"], block=True)
            assert 0.09 <= time.monotonic() - began < PATIENCE_SECONDS
            return [before, received, after]

        assert Child(look).result() == [[None, None], [7], [None, None]]
        assert drain(layer, "a") == [0, 1, 2]

    def test_a_child_that_ends_takes_nothing_with_it(self, layer: Layer) -> None:
        """Neither connections nor messages of the parent."""
        send_all(layer, "reply?a", range(3))
        assert Child(lambda: "done").result() == "done"
        assert drain(layer, "reply?a") == [0, 1, 2]
        layer.send("reply?a", {"n": 3})
        assert receive_within(layer, ["reply?a"]) == ("reply?a", {"n": 3})
