"""What servers answer while slots move and nodes fail: the grounds on which a command may be tried once more."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from asgi_redis.connection.redirection import is_ask, is_cluster_down, is_try_again, redirection
from tests.support.clusters import slot_of
from tests.support.servers import ACL_USER

SLOT = slot_of("{tag}")
WRITE_TWO = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1])"


def ends(cluster):
    """Returns the node that has ``SLOT``, and another."""
    source = cluster.master_of(SLOT)
    return source, next(node for node in cluster.masters() if node is not source)


def script(cluster, node, asking=False):
    with cluster.client(node) as client:
        pipeline = client.pipeline(transaction=False)
        if asking:
            pipeline.execute_command("ASKING")
        pipeline.eval(WRITE_TWO, 2, "{tag}old", "{tag}new", "x")
        return pipeline.execute(raise_on_error=False)[-1]


def test_a_script_in_the_middle_of_a_move_is_carried_out_or_not_at_all(three_masters):
    source, to = ends(three_masters)
    three_masters.run(source, "SET", "{tag}old", "before")
    three_masters.begin_move(SLOT, to)
    assert redirection(script(three_masters, to)).is_move
    # One key is here and the other may be there; before Redis 7 it is looked for there.
    refused = script(three_masters, source)
    assert is_try_again(refused) or is_ask(refused)
    assert is_try_again(script(three_masters, to, asking=True))
    assert three_masters.run(source, "GET", "{tag}old") == b"before"
    three_masters.migrate(SLOT)
    assert is_ask(script(three_masters, source))
    three_masters.end_move(SLOT)
    assert script(three_masters, to) is None
    assert three_masters.run(to, "GET", "{tag}old") == b"x"
    assert redirection(script(three_masters, source)).is_move


def test_a_slot_moves_with_its_keys(three_masters):
    source, to = ends(three_masters)
    with three_masters.client(source) as client:
        client.mset({f"{{tag}}{n}": n for n in range(250)})
    three_masters.move_slot(SLOT, to)
    three_masters.settle()
    assert three_masters.master_of("{tag}") is to
    assert three_masters.run(to, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 250
    assert three_masters.run(source, "DBSIZE") == 0


def test_valkey_9_moves_a_slot_atomically(three_masters):
    if not three_masters.can_move_atomically():
        pytest.skip("the server has no CLUSTER MIGRATESLOTS")
    source, to = ends(three_masters)
    three_masters.run(source, "SET", "{tag}", "x")
    three_masters.move_slot_atomically(SLOT, to)
    assert three_masters.run(to, "GET", "{tag}") == b"x"
    with pytest.raises(ResponseError) as raised:
        three_masters.run(source, "GET", "{tag}")
    assert redirection(raised.value).is_move


def test_without_all_slots_nothing_is_served(fresh_single_node_cluster):
    (node,) = fresh_single_node_cluster.nodes
    fresh_single_node_cluster.run(node, "CLUSTER", "DELSLOTS", 0)
    with pytest.raises(ResponseError) as raised:
        fresh_single_node_cluster.run(node, "SET", "{tag}", "x")
    assert is_cluster_down(raised.value)


def test_a_cluster_speaks_tls(tls_cluster):
    (node,) = tls_cluster.cluster.nodes
    assert tls_cluster.cluster.run(node, "SET", "{tag}", "x") == b"OK"
    (slots,) = tls_cluster.cluster.run(node, "CLUSTER", "SLOTS")
    assert slots[2][:2] == [b"127.0.0.1", node.port]


def test_a_cluster_knows_its_users(acl_cluster):
    assert acl_cluster.run(acl_cluster.nodes[0], "ACL", "WHOAMI") == ACL_USER.encode()
