"""A shard of a cluster: requests follow its slot, and are never carried out twice."""

from __future__ import annotations

import functools
import threading
import time

import pytest
import redis
from redis.exceptions import AskError, ConnectionError, ResponseError, TryAgainError

from asgi_redis import RedisClusterChannelLayer
from asgi_redis.connection import is_unsent, parse_start_nodes
from asgi_redis.connection.cluster import Cluster
from asgi_redis.connection.cluster_shard import ClusterShard
from asgi_redis.connection.errors import unsent
from asgi_redis.connection.redirection import is_cluster_down, is_try_again
from asgi_redis.exceptions import ConfigurationError, UnsupportedRedis
from asgi_redis.wire import GroupParts, GroupSendOperations, Operation
from asgi_redis.wire.operation import command
from asgi_redis.wire.shards import claim_shards, keys_of_shards, shard_tag
from tests.support.clusters import of_redis_in_the_suite, slot_of
from tests.support.waiting import eventually

NUMBER = 2


def incr(key):
    return Operation(command(b"INCR", key), int)


def mset(*keys):
    words = [word for key in keys for word in (key, b"1")]
    return Operation(command(b"MSET", *words), bool)


@pytest.fixture
def shard_of(prefix):
    """``shard_of(hosts, **kwargs)`` is the first of two shards; its slot is that of ``key``."""
    made = []

    def shard_of(hosts, number=NUMBER, address_remap=None, **connection_kwargs):
        cluster = Cluster(parse_start_nodes(hosts, connection_kwargs), address_remap)
        keys = keys_of_shards(prefix, number)[0]
        made.append(
            ClusterShard(cluster, slot_of(shard_tag(prefix, 0)), "shard 0", claim_shards(keys, number), number)
        )
        return made[-1]

    yield shard_of
    for shard in made:
        shard.drop_idle()


@pytest.fixture
def key(prefix):
    return keys_of_shards(prefix, 1)[0].queue(b"key")


@pytest.fixture
def slot(key):
    return slot_of(key)


@pytest.fixture
def masters(shared_masters, slot):
    """The node that has the slot, and another one."""
    source = shared_masters.master_of(slot)
    return source, next(node for node in shared_masters.nodes if node is not source)


def refused(client):
    return client.info("commandstats").get("cmdstat_mset", {}).get("rejected_calls", 0)


def port_of(shard):
    return shard.server.host.address[1]


class TestMoves:
    def test_a_request_goes_where_the_slot_is(self, shard_of, shared_masters, masters, key, slot):
        shard = shard_of(shared_masters.hosts)
        assert shard.execute(incr(key)) == 1
        assert port_of(shard) == masters[0].port

    def test_it_follows_a_slot_that_has_moved(self, shard_of, shared_masters, masters, key, slot):
        shard = shard_of(shared_masters.hosts)
        shard.execute(incr(key))
        shared_masters.move_slot(slot, masters[1])
        assert shard.execute(incr(key)) == 2
        assert port_of(shard) == masters[1].port

    def test_a_key_that_is_not_there_yet_is_asked_for_where_the_slot_goes(
        self, shard_of, shared_masters, masters, key, slot
    ):
        shard = shard_of(shared_masters.hosts)
        shard.execute(incr(key))
        shared_masters.begin_move(slot, masters[1])
        assert shard.execute(incr(key)) == 2, "the key has not moved yet"
        shared_masters.migrate(slot, [key])
        assert shard.execute(incr(key)) == 3
        assert shard.execute(incr(key)) == 4
        assert port_of(shard) == masters[0].port, "the slot has not moved"
        shared_masters.end_move(slot)
        assert shard.execute(incr(key)) == 5
        assert port_of(shard) == masters[1].port

    def test_keys_on_two_nodes_are_waited_for(self, shard_of, shared_masters, masters, key, slot):
        shard = shard_of(shared_masters.hosts)
        shard.execute(incr(key))
        shared_masters.begin_move(slot, masters[1])
        outcomes = []
        waiting = threading.Thread(target=lambda: outcomes.append(shard.execute(mset(key, key + b"2"))))
        waiting.start()
        with shared_masters.client(masters[0]) as client:
            eventually(lambda: refused(client) >= 3)
        assert not outcomes
        shared_masters.end_move(slot)
        waiting.join(10)
        assert outcomes == [True]

    def test_not_longer_than_the_connect_timeout(self, shard_of, shared_masters, masters, key, slot):
        shard = shard_of(shared_masters.hosts, socket_connect_timeout=1)
        shard.execute(incr(key))
        shared_masters.begin_move(slot, masters[1])
        started = time.monotonic()
        with pytest.raises(ResponseError) as raised:
            shard.execute(mset(key, key + b"2"))
        assert is_try_again(raised.value)
        assert is_unsent(raised.value), "nothing was carried out"
        assert 0.15 < time.monotonic() - started < 4

    def test_and_not_at_all_where_others_would_wait_too(self, shard_of, shared_masters, masters, key, slot):
        shard = shard_of(shared_masters.hosts)
        shard.execute(incr(key))
        shared_masters.begin_move(slot, masters[1])
        started = time.monotonic()
        with pytest.raises(ResponseError):
            shard.execute(mset(key, key + b"2"), fail_fast=True)
        assert time.monotonic() - started < 4


class TestFailures:
    def test_the_first_start_node_need_not_be_there(self, shard_of, shared_masters, key):
        shard = shard_of([("127.0.0.1", 1), *shared_masters.hosts])
        assert shard.execute(incr(key)) == 1

    def test_no_node_that_answers_is_an_error_within_the_connect_timeout(self, shard_of, key):
        shard = shard_of([("127.0.0.1", 1)], socket_connect_timeout=1)
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=r"no node of the cluster of redis://127\.0\.0\.1:1 answers"):
            shard.execute(incr(key))
        assert time.monotonic() - started < 4

    def test_a_slot_that_no_node_has(self, shard_of, fresh_single_node_cluster, key, slot):
        node = fresh_single_node_cluster.nodes[0]
        fresh_single_node_cluster.run(node, "CLUSTER", "DELSLOTS", slot)
        shard = shard_of(fresh_single_node_cluster.hosts, socket_connect_timeout=1)
        with pytest.raises(redis.exceptions.RedisError) as raised:
            shard.execute(incr(key))
        assert is_cluster_down(raised.value) or f"slot {slot}" in str(raised.value)

    def test_a_server_that_is_no_cluster(self, shard_of, redis_server, key):
        shard = shard_of([(redis_server.host, redis_server.port)])
        with pytest.raises(UnsupportedRedis, match="is no node of a Redis Cluster"):
            shard.execute(incr(key))

    def test_addresses_that_only_the_cluster_knows_are_remapped(self, shard_of, single_node_cluster, key):
        asked = []

        def remap(address):
            asked.append(address)
            return single_node_cluster.hosts[0]

        shard = shard_of(single_node_cluster.hosts, address_remap=remap)
        assert shard.execute(incr(key)) == 1
        assert asked


class TestTheNumberOfShards:
    def test_another_number_is_an_error_that_has_both(self, shard_of, single_node_cluster, key):
        shard_of(single_node_cluster.hosts, number=2).execute(incr(key))
        other = shard_of(single_node_cluster.hosts, number=3)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="shards is 3, but other processes that use shard 0 have 2"):
                other.execute(incr(key))

    @pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "known"])
    def test_it_is_compared_while_the_memory_is_used_up(self, shard_of, fresh_single_node_cluster, key, is_known):
        """Otherwise a process that has just started could take no messages away."""
        cluster = fresh_single_node_cluster
        if is_known:
            shard_of(cluster.hosts).execute(incr(key))
        cluster.run(cluster.nodes[0], "CONFIG", "SET", "maxmemory", 1)
        assert shard_of(cluster.hosts).execute(Operation(command(b"UNLINK", key), int)) == is_known
        with pytest.raises(ConfigurationError):
            shard_of(cluster.hosts, number=3).execute(Operation(command(b"UNLINK", key), int))

    def test_it_is_compared_once_and_not_with_each_request(self, shard_of, fresh_single_node_cluster, key):
        shard = shard_of(fresh_single_node_cluster.hosts)
        shard.execute(incr(key))
        with fresh_single_node_cluster.client() as client:
            before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
            for _ in range(5):
                shard.execute(incr(key))
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before

    def test_a_shard_is_located_once_it_was_used(self, shard_of, single_node_cluster, key):
        shard = shard_of(single_node_cluster.hosts)
        assert not shard.is_located
        shard.execute(incr(key))
        assert shard.is_located


def test_a_request_that_may_have_been_carried_out_is_not_made_again(shard_of, single_node_cluster, key):
    shard = shard_of(single_node_cluster.hosts)
    shard.execute(incr(key))
    for error in (
        ConnectionError("no reply"),
        redis.exceptions.TimeoutError("no reply"),
        ResponseError("WRONGTYPE x"),
    ):
        with pytest.raises(type(error)) as raised:
            shard.retry(incr(key), error)
        assert raised.value is error
    assert shard.execute(incr(key)) == 2


def test_what_certainly_was_not_is_made_again(shard_of, single_node_cluster, key):
    shard = shard_of(single_node_cluster.hosts)
    shard.execute(incr(key))
    for number, error in enumerate([TryAgainError("Multiple keys"), AskError("1 127.0.0.1:1")]):
        assert shard.retry(incr(key), error) == 2 + number


def test_a_group_send_that_is_made_in_parts_may_be_partly_sent(shard_of, single_node_cluster, prefix, monkeypatch):
    """Its error says so, or the message would be sent again."""
    shard = shard_of(single_node_cluster.hosts)
    operations = GroupSendOperations(keys_of_shards(prefix, 1)[0], 60)
    parts = GroupParts(0, False, [b"a", b"b"], [[b"a"], [b"b"]], [1, 1])
    send = operations.send(operations.frame(parts, [b"1", b"2"], True), b"head")
    execute, refusal = shard.execute, unsent(ConnectionError("refused"))

    def once(*arguments):
        monkeypatch.setattr(shard, "execute", lambda *_: (_ for _ in ()).throw(refusal))
        return execute(*arguments)

    monkeypatch.setattr(shard, "execute", once)
    assert is_unsent(refusal)
    with pytest.raises(ConnectionError) as raised:
        shard.retry(send, TryAgainError("Multiple keys"))
    assert not is_unsent(raised.value)


def test_a_process_with_a_wrong_number_claims_no_shard(single_node_cluster, prefix):
    """Neither one that others do not have: its key would stay there for a day."""
    make = functools.partial(RedisClusterChannelLayer, hosts=single_node_cluster.hosts, prefix=prefix)
    with make(shards=2) as right, make(shards=8) as wrong, single_node_cluster.client() as client:
        right.send("work", {})
        for shard in reversed(wrong.plans.shards):
            with pytest.raises(ConfigurationError):
                shard.execute(incr(b"x"))
        assert set(client.keys(f"{{{prefix}:*}}:shards")) <= {
            f"{{{prefix}:{number}}}:shards".encode() for number in range(2)
        }


@of_redis_in_the_suite
def test_a_receive_that_does_not_wait_does_not_wait_for_a_shard_that_is_away(fresh_single_node_cluster):
    cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
    with RedisClusterChannelLayer(hosts=cluster.hosts, shards=4) as layer:
        layer.send("work", {"n": 1})
        cluster.run(node, "CLUSTER", "DELSLOTS", 0)
        started = time.monotonic()
        for call in (lambda: layer.receive(["work"]), layer.global_statistics):
            with pytest.raises(redis.exceptions.RedisError):
                call()
        assert time.monotonic() - started < 7, "one wait of five seconds, for the statistics"


def test_nodes_that_send_a_request_to_each_other_are_not_asked_for_ever(shard_of, single_node_cluster, key, slot):
    shard = shard_of(single_node_cluster.hosts, socket_connect_timeout=1)
    shard.execute(incr(key))
    error = ResponseError(f"MOVED {slot} 127.0.0.1:{single_node_cluster.nodes[0].port}")
    attempts = [None]

    def follow():
        while len(attempts) < 10_000:
            attempts.append(shard.next_attempt(error, before=attempts[-1]))

    with pytest.raises(ResponseError):
        follow()
    assert 3 <= len(attempts) < 100


def test_calls_that_follow_one_that_has_waited_in_vain_do_not_wait(shard_of, shared_masters, masters, key, slot):
    shard = shard_of(shared_masters.hosts, socket_connect_timeout=2)
    shard.execute(incr(key))
    shared_masters.begin_move(slot, masters[1])
    with pytest.raises(ResponseError):
        shard.execute(mset(key, key + b"2"))
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(ResponseError):
            shard.execute(mset(key, key + b"2"))
    assert time.monotonic() - started < 1.9  # a wait takes two
    shared_masters.end_move(slot)
    assert shard.execute(mset(key, key + b"2"))


def test_a_remap_that_returns_no_address_is_an_error(shard_of, single_node_cluster, key):
    with pytest.raises(ConfigurationError, match=r"address_remap must return a \(host, port\) pair"):
        shard_of(single_node_cluster.hosts, address_remap=lambda address: None).execute(incr(key))


@of_redis_in_the_suite
def test_a_receive_waits_for_a_shard_no_longer_than_for_a_message_and_sends_wait_all_the_same(
    fresh_single_node_cluster,
):
    cluster, (node,) = fresh_single_node_cluster, fresh_single_node_cluster.nodes
    with RedisClusterChannelLayer(hosts=cluster.hosts, shards=1) as layer:
        layer.send("work", {"n": 1})
        cluster.run(node, "CLUSTER", "DELSLOTS", 0)
        started = time.monotonic()
        with pytest.raises(redis.exceptions.RedisError):
            layer.receive_batch(["work"], 1, 0.3)
        assert time.monotonic() - started < 4
        before = cluster.refusals(node, "CLUSTERDOWN")
        sending = threading.Thread(target=layer.send, args=("work", {"n": 2}))
        sending.start()
        eventually(lambda: cluster.refusals(node, "CLUSTERDOWN") >= before + 2)
        cluster.run(node, "CLUSTER", "ADDSLOTS", 0)
        sending.join(10)
        assert [message["n"] for _, message in layer.receive_batch(["work"], 2, 1)] == [1, 2]
