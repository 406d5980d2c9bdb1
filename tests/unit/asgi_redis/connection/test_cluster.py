"""A cluster is asked for its slots, by many at once, while its nodes are silent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import RedisClusterChannelLayer
from asgi_redis.connection import is_unsent, parse_start_nodes
from asgi_redis.connection.cluster import Cluster
from tests.support.waiting import eventually


@contextlib.contextmanager
def silent_nodes(number):
    """The addresses of nodes that let anyone in, and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname() for _ in range(number)]


def seconds(call):
    """Returns how long a call takes that fails for want of a node."""
    started = time.monotonic()
    with pytest.raises(ConnectionError) as raised:
        call()
    assert is_unsent(raised.value)
    return time.monotonic() - started


def test_callers_at_once_wait_for_one_answer():
    with silent_nodes(1) as hosts:
        cluster = Cluster(parse_start_nodes(hosts, {}))
        waits = []
        callers = [
            threading.Thread(target=lambda: waits.append(seconds(lambda: cluster.server_of(1)))) for _ in "1234"
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert len(waits) == 4
    assert max(waits) < 3, "each took a second, one after the other"


def test_a_send_fails_within_the_connect_timeout_however_many_nodes_hang():
    with silent_nodes(4) as hosts, RedisClusterChannelLayer(hosts=hosts, shards=1) as layer:
        patient = RedisClusterChannelLayer(hosts=hosts, shards=1, connection_kwargs={"socket_connect_timeout": 1.5})
        assert 1.4 < seconds(lambda: patient.send("work", {})) < 3.5
        assert 3.5 < seconds(lambda: layer.send("work", {})) < 8, "within five seconds all have been asked"


def test_a_reader_of_many_shards_waits_once():
    with silent_nodes(6) as hosts, RedisClusterChannelLayer(hosts=hosts, shards=16) as layer:
        reader = layer.reader()
        started = time.monotonic()
        assert reader.receive_batch(["work"], 10, 0.1) == []
        assert time.monotonic() - started < 8
        assert reader.down
        reader.close()


def test_the_first_send_waits_for_a_start_node_that_answers(shared_masters):
    with silent_nodes(2) as hosts:
        layer = RedisClusterChannelLayer(hosts=[*hosts, shared_masters.hosts[0]], shards=1, prefix="behind-silent")
        layer.send("work", {"n": 1})
        assert layer.receive(["work"]) == ("work", {"n": 1})
        layer.flush()


def test_an_answer_is_newer_than_a_redirection(shared_masters):
    """Otherwise a slot that has once moved to a node would stay there when the node fails."""
    cluster = Cluster(parse_start_nodes(shared_masters.hosts, {}))
    server = cluster.server_of(1)
    cluster.moved(1, "127.0.0.1", 1, None)
    assert cluster.server_of(1).host.address == ("127.0.0.1", 1)

    def ask():
        cluster.refresh(None)  # in vain, just after an answer
        return cluster.server_of(1) is server

    eventually(ask)


def test_servers_that_have_left_the_cluster_are_forgotten(shared_masters):
    cluster = Cluster(parse_start_nodes(shared_masters.hosts, {}))
    cluster.server_of(1)
    for port in range(1, 100):
        cluster.server_at("127.0.0.1", port, None)
    assert len(cluster.servers) >= 99
    eventually(lambda: cluster.refresh(None) or len(cluster.servers) <= 3)


def test_an_address_without_a_host_is_that_of_the_sender(shared_masters):
    cluster = Cluster(parse_start_nodes(shared_masters.hosts, {}))
    sender = cluster.server_at("node.example", 1, None)
    assert cluster.server_at("", 2, sender).host.address == ("node.example", 2)
    cluster.moved(5, "", 3, sender)
    assert cluster.known_server_of(5).host.address == ("node.example", 3)
