"""A slot that moves while calls are made: each is carried out, once, wherever the slot is."""

from __future__ import annotations

import threading
import time

import pytest
from redis.exceptions import RedisError

from asgi_redis import ChannelFull
from asgi_redis.connection import Take, is_unsent, requeue_taken
from asgi_redis.process import fork
from asgi_redis.wire import Witness
from tests.support.clusters import slot_of
from tests.support.queues import QueueOperations
from tests.support.waiting import eventually

# Of one key: it is at either end.
AT_EITHER_END = {
    "receive": lambda layer: layer.receive(["received"]),
    "receive, blocking": lambda layer: layer.receive(["popped"], block=True),
    "receive of several": lambda layer: layer.receive(["one-of-several", "empty"]),
    "receive of several, blocking": lambda layer: layer.receive(["one-popped", "empty"], block=True),
    "receive_batch": lambda layer: layer.receive_batch(["batch"], 10),
    "group_add": lambda layer: layer.group_add("members", "another"),
    "group_add to a new group": lambda layer: layer.group_add("new", "member"),
    "group_discard": lambda layer: layer.group_discard("left", "member"),
    "group_channels": lambda layer: layer.group_channels("members-2"),
}
# Of several: where not all of them are there, the server wants to be asked again.
WHEN_ALL_KEYS_ARE_THERE = {
    "send": lambda layer: layer.send("sent", {"n": 2}),
    "send to a new queue": lambda layer: layer.send("new", {"n": 1}),
    "repeatable_send": lambda layer: layer.repeatable_send("repeatable", {"n": 2}, Witness("me", 1))(),
    "send_group": lambda layer: layer.send_group("sent-to", {"n": 2}),
    "delayed.send": lambda layer: layer.delayed.send("later", {"n": 2}, 3600),
    "delayed.deliver": lambda layer: layer.delayed.deliver() is not None,
    "channel_statistics": lambda layer: layer.channel_statistics("counted")["messages_count"],
    "global_statistics": lambda layer: layer.global_statistics()["messages_count"] > 0,
    "many_channel_statistics": lambda layer: set(layer.many_channel_statistics(["counted", "empty"])),
}
CALLS = {**AT_EITHER_END, **WHEN_ALL_KEYS_ARE_THERE}
RESULTS = {
    **dict.fromkeys(CALLS),
    "receive": ("received", {"n": 1}),
    "receive, blocking": ("popped", {"n": 1}),
    "receive of several": ("one-of-several", {"n": 1}),
    "receive of several, blocking": ("one-popped", {"n": 1}),
    "receive_batch": [("batch", {"n": 1}), ("batch", {"n": 2})],
    "group_channels": ["member"],
    "send_group": 0,
    "delayed.deliver": True,
    "channel_statistics": 1,
    "global_statistics": True,
    "many_channel_statistics": {"counted", "empty"},
}
STATES = {"none": slice(0), "some": slice(None, None, 2), "all": slice(None)}


def prepare(layer):
    queues = ["received", "popped", "one-of-several", "one-popped", "batch", "sent", "repeatable", "group", "counted"]
    for queue in queues:
        layer.send(queue, {"n": 1})
    layer.send("batch", {"n": 2})
    for group, channel in (("members", "member"), ("left", "member"), ("members-2", "member"), ("sent-to", "group")):
        layer.group_add(group, channel)
    layer.delayed.send("due", {"n": 1}, 0)


class Called:
    """All calls at once, in threads, with their results by name."""

    def __init__(self, layer, calls):
        self.results = {}
        self._threads = [threading.Thread(target=self._call, args=(layer, name)) for name in calls]
        for thread in self._threads:
            thread.start()

    def _call(self, layer, name):
        try:
            self.results[name] = CALLS[name](layer)
        except Exception as error:  # noqa: BLE001  compared with what is expected
            self.results[name] = error

    def join(self):
        for thread in self._threads:
            thread.join()
        return self.results


def content(layer, queue):
    return [message["n"] for _, message in layer.receive_batch([queue], 10)]


@pytest.mark.parametrize("part", STATES.values(), ids=[f"{name} of its keys have moved" for name in STATES])
def test_all_calls_are_carried_out_once_in_the_middle_of_a_move(masters, cluster_layer, move, part):
    layer = cluster_layer(masters)
    prepare(layer)
    move.begin()
    move.migrate(part)
    before = masters.refusals(move.source, "TRYAGAIN") + masters.refusals(move.to, "TRYAGAIN")
    called = Called(layer, CALLS)
    expected = AT_EITHER_END if part == STATES["all"] else {}
    eventually(lambda: expected.keys() <= called.results.keys())
    # Those that cannot be carried out yet are refused a few times.
    eventually(
        lambda: masters.refusals(move.source, "TRYAGAIN") + masters.refusals(move.to, "TRYAGAIN") > before + 10
    )
    move.end()
    assert called.join() == RESULTS
    found = {queue: content(layer, queue) for queue in ("sent", "new", "repeatable", "group", "due", "batch")}
    assert found == {"sent": [1, 2], "new": [1], "repeatable": [1, 2], "group": [1, 2], "due": [1], "batch": []}
    assert layer.group_channels("new") == ["member"]
    assert sorted(layer.group_channels("members")) == ["another", "member"]
    assert layer.group_channels("left") == []


def test_a_script_that_the_new_node_lacks_is_sent_with_its_text(masters, cluster_layer, move):
    """The text has to be announced with ASKING, too."""
    layer = cluster_layer(masters)
    layer.group_add("chat", "member")
    layer.send("work", {"n": 1})
    move.begin()
    move.migrate()
    masters.run(move.to, "SCRIPT", "FLUSH")
    layer.group_add("chat", "another")
    layer.send("work", {"n": 2})
    assert content(layer, "work") == [1, 2]
    assert sorted(layer.group_channels("chat")) == ["another", "member"]


def test_a_move_is_learnt_from_the_first_refusal(masters, cluster_layer, move):
    layer = cluster_layer(masters)
    layer.send("work", {"n": 0})
    move.begin()
    move.end()
    before = masters.refusals(move.source, "MOVED")
    for n in range(1, 6):
        layer.send("work", {"n": n})
    assert content(layer, "work") == [*range(6)]
    assert masters.refusals(move.source, "MOVED") == before + 1


def blocked(masters, node):
    with masters.client(node) as client:
        return client.info("clients")["blocked_clients"]


class Waiting(threading.Thread):
    """A blocking receive in a thread, which waits when this returns."""

    def __init__(self, masters, node, layer, channels):
        super().__init__()
        self.received = None
        self._layer, self._channels = layer, channels
        before = blocked(masters, node)
        self.start()
        eventually(lambda: blocked(masters, node) > before)

    def run(self):
        self.received = self._layer.receive(self._channels, block=True)

    def result(self):
        self.join(30)
        return self.received


@pytest.mark.parametrize("channels", [["work"], ["work", "idle"]], ids=["one", "several"])
def test_a_blocking_receive_goes_with_its_slot(masters, cluster_layer, move, channels):
    layer = cluster_layer(masters)
    waiting = Waiting(masters, move.source, layer, channels)
    move.begin()
    move.end()
    cluster_layer(masters).send("work", {"n": 1})
    since = time.monotonic()
    assert waiting.result() == ("work", {"n": 1})
    assert time.monotonic() - since < layer.block_timeout / 2  # servers look once a second whose slots have left


def test_a_message_sent_in_the_middle_of_a_move_ends_a_wait_that_began_before(masters, cluster_layer, move):
    layer = cluster_layer(masters)
    waiting = Waiting(masters, move.source, layer, ["work"])
    move.begin()
    sending = threading.Thread(target=cluster_layer(masters).send, args=("work", {"n": 1}))
    sending.start()
    eventually(lambda: masters.refusals(move.source, "ASK") or masters.refusals(move.to, "TRYAGAIN"))
    move.end()
    sending.join()
    assert waiting.result() == ("work", {"n": 1})


def test_a_wait_that_ends_without_a_message_takes_its_time(masters, cluster_layer, move):
    """Also where the wait begins in the middle of a move, and its slot then goes."""
    layer = cluster_layer(masters)
    layer.block_timeout = 1.5
    move.begin()
    before = masters.refusals(move.source, "ASK")
    since = time.monotonic()
    waiting = threading.Thread(target=layer.receive, args=(["work"], True))
    waiting.start()
    eventually(lambda: masters.refusals(move.source, "ASK") > before)
    move.end()
    waiting.join()
    assert 1.4 < time.monotonic() - since < 10


def test_other_shards_are_served_while_one_moves(masters, cluster_layer, move):
    layer = cluster_layer(masters, shards=4)
    pinned = [f"to.{n}?a" for n in range(40)]
    move.begin()
    for channel in pinned:
        if layer.consistent_hash(channel):
            layer.send(channel, {"n": 1})
            assert layer.receive([channel]) == (channel, {"n": 1})


def test_a_group_send_that_is_partly_carried_out_does_not_count_as_unsent(masters, cluster_layer, move):
    """Or it would be made again by those who repeat what was not sent, and some members would have it twice."""
    away = set()

    def remap(address):
        return ("127.0.0.1", 1) if address in away else address

    layer = cluster_layer(masters, address_remap=remap, connection_kwargs={"socket_connect_timeout": 1.0})
    for channel in ("a", "b"):
        layer.send(channel, {"n": 1})
        layer.group_add("chat", channel)
    move.begin()
    masters.migrate(move.slot, [f"{{{layer.prefix}:0}}b".encode()])
    away.add((move.to.host, move.to.port))
    with pytest.raises(RedisError) as raised:
        layer.send_group("chat", {"n": 2})
    assert not is_unsent(raised.value)
    away.clear()
    move.end()
    assert [content(layer, channel) for channel in ("a", "b")] == [[1, 2], [1]]


def test_a_channel_without_a_share_on_the_shard_that_moves_stays_usable(masters, cluster_layer, move):
    """A full channel is counted; the counter must not get in the place of the queue."""
    layer = cluster_layer(masters, shards=2, capacity=1)
    layer.send("work", {"n": 1})
    send_to_the_full(layer)  # so that there are counters on both shards
    slot = slot_of(f"{{{layer.prefix}:1}}")
    source = masters.master_of(slot)
    masters.begin_move(slot, next(node for node in masters.nodes if node is not source))
    try:
        sending = threading.Thread(target=send_to_the_full, args=(layer,))
        sending.start()
        refused = masters.refusals(source, "TRYAGAIN")
        eventually(lambda: masters.refusals(source, "TRYAGAIN") > refused or not sending.is_alive())
    finally:
        masters.end_move(slot)
        sending.join()
    layer.receive_batch(["work"], 10)
    layer.send("work", {"n": 3})
    assert layer.receive(["work"]) == ("work", {"n": 3})


def send_to_the_full(layer):
    for _ in range(2):
        with pytest.raises(ChannelFull):
            layer.send("work", {"n": 2})


@pytest.mark.parametrize("has_ended", [False, True], ids=["in the middle of a move", "after a move"])
def test_a_message_that_is_put_back_follows_its_slot(masters, cluster_layer, move, has_ended):
    layer = cluster_layer(masters)
    for n in range(2):
        layer.send("work", {"n": n})
    operations = QueueOperations(f"{{{layer.prefix}:0}}")
    take = Take(layer._shards[0], operations.receive([b"work"], 1), operations.requeue, fork.check())
    assert len(take.take(False)) == 1
    move.begin()
    move.migrate()
    if has_ended:
        move.end()
    requeue_taken([take])
    assert content(layer, "work") == [0, 1]


@pytest.mark.parametrize("has_ended", [False, True], ids=["in the middle of a move", "after a move"])
def test_an_interruption_while_a_message_that_is_put_back_follows_its_slot(masters, cluster_layer, move, has_ended):
    layer = cluster_layer(masters)
    for n in range(2):
        layer.send("work", {"n": n})
    operations = QueueOperations(f"{{{layer.prefix}:0}}")
    shard = Interrupted(layer._shards[0])
    take = Take(shard, operations.receive([b"work"], 2), operations.requeue, fork.check())
    assert len(take.take(False)) == 2
    move.begin()
    move.migrate()
    if has_ended:
        move.end()
    with pytest.raises(KeyboardInterrupt):
        requeue_taken([take])
    assert content(layer, "work") == [0, 1]


class Interrupted:
    """A shard where Ctrl-C comes while a caller waits for the next attempt, once."""

    def __init__(self, shard):
        self._shard = shard
        self._is_due = True

    def __getattr__(self, name):
        return getattr(self._shard, name)

    def next_attempt(self, *arguments, **named):
        if self._is_due:
            self._is_due = False
            raise KeyboardInterrupt
        return self._shard.next_attempt(*arguments, **named)

    def retry(self, operation, error, **named):
        self.next_attempt(error)
        return self._shard.retry(operation, error, **named)


def test_a_group_on_several_shards_gets_each_message_once_while_one_moves(masters, cluster_layer, move):
    layer = cluster_layer(masters, shards=4)
    members = [f"member.{n}?x" for n in range(20)]
    for member in members:
        layer.group_add("chat", member)
    layer.send_group("chat", {"n": 1})
    move.begin()
    move.migrate(STATES["some"])
    assert layer.send_group("chat", {"n": 2}) == 0
    move.end()
    assert layer.send_group("chat", {"n": 3}) == 0
    assert {member: content(layer, member) for member in members} == {member: [1, 2, 3] for member in members}


def test_what_has_expired_in_the_middle_of_a_move_is_counted(masters, cluster_layer, move):
    layer = cluster_layer(masters)
    layer.send("here", {"n": 1})
    key = f"{{{layer.prefix}:0}}here"
    move.begin()
    masters.run(move.source, "ZADD", key, time.time() - 1000, b"twelve bytes" + layer.serialize({"n": 0}))
    assert layer.receive_batch(["here", "away"], 10) == [("here", {"n": 1})]
    move.end()
    assert layer.channel_statistics("here")["messages_expired"] == 1


def test_in_the_middle_of_a_move_no_queue_starves_another(masters, cluster_layer, move):
    layer = cluster_layer(masters)
    for n in range(6):
        layer.send("busy", {"n": n})
        layer.send("quiet", {"n": n})
    move.begin()
    received = layer.receive_batch(["busy", "quiet", "away"], 6)
    assert {channel for channel, _ in received} == {"busy", "quiet"}
    assert len(received) <= 6


def test_a_wait_in_the_middle_of_a_move_looks_now_and_then(masters, cluster_layer, move):
    layer = cluster_layer(masters)
    layer.block_timeout = 1
    layer.send("work", {})
    layer.receive(["work"])
    move.begin()
    with masters.client(move.source) as client:
        before = client.info("stats")["total_commands_processed"]
        assert layer.receive(["work", "other"], block=True) == (None, None)
        assert client.info("stats")["total_commands_processed"] - before < 200
