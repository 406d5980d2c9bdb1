"""Replies of a node whose order does not tell what they answer."""

from __future__ import annotations

import contextlib

import pytest

from tests.support.clusters import slot_of
from tests.support.pubsub.scripted_node import ScriptedNode, message
from tests.support.pubsub.subscribers import NOTICES, outages
from tests.support.waiting import eventually


@pytest.fixture
def node_that():
    """``node_that(answer)`` is a scripted node."""
    with contextlib.ExitStack() as stack:

        def make(answer):
            return stack.enter_context(contextlib.closing(ScriptedNode(answer)))

        yield make


def moved(name, node):
    return b"-MOVED %d 127.0.0.1:%d\r\n" % (slot_of(name), node.port)


def test_a_slot_that_moves_just_before_an_unsubscribe(node_that, pubsub_layer_for, prefix, caplog):
    """The end of the subscription comes without a request, and the error for the request later: it is no other's."""
    left, new = f"{prefix}.left".encode(), f"{prefix}.new".encode()

    def answer(command, name):
        if command == b"SUNSUBSCRIBE":
            return message(b"sunsubscribe", name, 0)
        late = moved(left, other) if name == new else b""
        return late + message(b"ssubscribe", name, 1)

    node, other = node_that(answer), node_that(answer)
    layer = pubsub_layer_for(node.url, cluster=True, **NOTICES)
    layer.receive([left.decode()])
    layer.close_channel(left.decode())
    eventually(lambda: (b"SUNSUBSCRIBE", left) in node.asked)
    assert layer.receive([new.decode()]) == (None, None)
    (connection,) = node.connections
    connection.sendall(message(b"smessage", new, layer.serialize({"n": 1})))
    assert layer.receive([new.decode()], block=True) == (new.decode(), {"n": 1})
    assert other.asked == []
    assert outages(caplog) == []


def test_nodes_that_send_a_subscription_to_and_fro_are_not_asked_without_a_pause(node_that, pubsub_layer_for, prefix):
    """Until they agree."""
    agreed = []

    def answer_of(place):
        def answer(command, name):
            if place in agreed:
                return message(b"ssubscribe", name, 1)
            return moved(name, nodes[1 - place])

        return answer

    nodes = [node_that(answer_of(0)), node_that(answer_of(1))]
    layer = pubsub_layer_for(nodes[0].url, cluster=True)
    reader, name = layer.reader(), f"{prefix}.work"
    assert reader.receive_batch([name], 1, 1.5) == []
    assert not reader.serving
    assert 4 < len(nodes[0].asked) + len(nodes[1].asked) < 60
    agreed.append(1)
    assert eventually(lambda: reader.receive_batch([name], 1, 1) == [] and reader.serving)


def test_a_node_that_answers_a_ping_but_is_cut_off_from_the_cluster_does_not_serve(
    node_that, pubsub_layer_for, prefix, monkeypatch
):
    monkeypatch.setattr("asgi_redis.engine.pubsub.listener._CHECK_SECONDS", 0.05)
    down = []

    def answer(command, name):
        return b"-CLUSTERDOWN The cluster is down\r\n" if down else message(b"ssubscribe", name, 1)

    layer = pubsub_layer_for(node_that(answer).url, cluster=True, **NOTICES)
    name = f"{prefix}.work"
    assert layer.receive([name]) == (None, None)
    down.append(True)
    assert layer.receive([name], block=True) == (name, {"type": NOTICES["on_disconnect"]})
    down.clear()
    assert layer.receive([name], block=True) == (name, {"type": NOTICES["on_reconnect"]})
