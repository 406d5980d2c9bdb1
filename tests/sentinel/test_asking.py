"""Several threads ask the Sentinels at a time, some of which do not answer."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.proxy import Proxy
from tests.threads import in_threads
from tests.waiting import eventually


@pytest.fixture
def lines(cluster):
    """A proxy before each of two Sentinels, in the order in which a layer is to ask them."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Proxy((watcher.host, watcher.port))) for watcher in cluster.watchers[:2]]


@pytest.fixture
def layer(cluster, lines, sentinel_layer_for):
    return sentinel_layer_for(
        cluster, hosts=[(line.host, line.port) for line in lines], services=["one"], capacity=1000
    )


def go_down(line):
    line.refuse = True
    line.cut()


def test_none_is_forgotten_when_threads_find_the_first_one_down_at_the_same_time(layer, lines):
    first, second = lines
    go_down(first)
    second.delay = 0.1  # so that all have asked it before it answers one of them
    in_threads(lambda n: layer.send("work", {"n": n}), range(4))
    first.refuse, second.delay = False, 0.0
    go_down(second)
    layer.close()  # so that the Sentinels are asked for a new connection
    layer.send("work", {"n": 4})
    assert sorted(message["n"] for _, message in layer.receive_batch(["work"], 10)) == [0, 1, 2, 3, 4]


def test_one_that_answers_is_found_by_a_thread_that_began_before_another_had_found_it(layer, lines):
    silent, _ = lines
    silent.swallow = True
    errors = []

    def send(n):
        try:
            layer.send("work", {"n": n})
        except Exception as error:  # noqa: BLE001  looked at below
            errors.append(error)

    early = threading.Thread(target=send, args=(0,))
    early.start()
    eventually(lambda: silent.connections == 2)  # it is asked a second time, after which the other one is
    send(1)
    early.join()
    assert errors == []
