"""The pipelines to the nodes of a cluster, and the order of the requests to each shard."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time

import pytest
from redis.exceptions import ConnectionError, ResponseError

from asgi_redis.aio.loop_waker import BlockingResult
from asgi_redis.aio.pipelines import make_pipelines
from asgi_redis.connection import parse_start_nodes
from asgi_redis.connection.cluster import Cluster
from asgi_redis.connection.cluster_shard import ClusterShard
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire import Operation
from asgi_redis.wire.operation import command
from asgi_redis.wire.shards import claim_shards, keys_of_shards, shard_tag
from tests.support.async_waiting import until
from tests.support.clusters import slot_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

SHARDS = 3
SOON = {"socket_connect_timeout": 1}


def rpush(key, *values):
    return Operation(command(b"RPUSH", key, *values), int)


def lrange(key):
    return Operation(command(b"LRANGE", key, b"0", b"-1"), list)


def mset(*keys):
    words = [word for key in keys for word in (key, b"1")]
    return Operation(command(b"MSET", *words), bool)


class Shards:
    """The shards of a cluster, with their queues and pipelines."""

    def __init__(self, hosts, prefix, number=SHARDS, claimed=None):
        cluster = Cluster(parse_start_nodes(hosts, SOON))
        self.keys = [keys.queue(b"key") for keys in keys_of_shards(prefix, number)]
        self.tags = [shard_tag(prefix, n) for n in range(number)]
        self.shards = [
            ClusterShard(cluster, slot_of(tag), tag, claim_shards(keys, claimed or number), claimed or number)
            for tag, keys in zip(self.tags, keys_of_shards(prefix, number))
        ]
        self.queues, self.of_groups, (self.nodes,) = make_pipelines(self.shards)

    def slot(self, number=0):
        return slot_of(self.tags[number])

    def ask(self, operation, number=0):
        return self.queues[self.shards[number]].submit(operation, BlockingResult())

    def result(self, operation, number=0):
        return self.ask(operation, number).result(20)

    def threads(self):
        return {thread for pipeline in self.nodes._pipelines.values() for thread in pipeline._threads}

    def has_trips_of(self, loop):
        trips = [pipeline._trips for pipeline in self.nodes._pipelines.values()]
        return any(one is not None and one.is_of(loop) for one in trips)

    def close(self):
        self.nodes.close(20)
        for shard in self.shards:
            shard.drop_idle()


@pytest.fixture
def make_shards(prefix):
    """``make_shards(cluster, **settings)``: what ``Shards`` has, closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(cluster, **settings):
            made = Shards(cluster.hosts, prefix, **settings)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def shards(make_shards, shared_masters):
    return make_shards(shared_masters)


def other_node(cluster, slot):
    source = cluster.master_of(slot)
    return next(node for node in cluster.masters() if node is not source)


def numbers(start, end):
    return [b"%d" % number for number in range(start, end)]


class TestNodes:
    def test_shards_on_one_node_share_its_pipeline(self, make_shards, single_node_cluster):
        shards = make_shards(single_node_cluster, number=8)
        assert [shards.result(rpush(shards.keys[n], b"x"), n) for n in range(8)] == [1] * 8
        assert len(shards.threads()) == 1

    def test_no_request_of_an_event_loop_waits_for_the_cluster_to_be_asked(self, shards, monkeypatch):
        asked, may_answer = [], threading.Event()
        monkeypatch.setattr(
            "asgi_redis.connection.cluster.discover",
            lambda *_, **__: asked.append(threading.current_thread()) or (may_answer.wait(4) and []),
        )
        answer = shards.ask(rpush(shards.keys[0], b"x"))
        eventually(lambda: asked)
        may_answer.set()
        assert threading.current_thread() not in asked
        with pytest.raises(AttributeError):
            answer.result(20)

    def test_a_node_without_shards_has_no_pipeline(self, make_shards, shared_masters):
        shards = make_shards(shared_masters, number=1)
        shards.result(rpush(shards.keys[0], b"1"))
        (before,) = shards.threads()
        shared_masters.move_slot(shards.slot(), other_node(shared_masters, shards.slot()))
        assert shards.result(rpush(shards.keys[0], b"2")) == 2
        eventually(lambda: not before.is_alive())
        assert shards.result(rpush(shards.keys[0], b"3")) == 3
        (after,) = shards.threads()
        assert after.is_alive()

    def test_closing_ends_the_threads_after_the_requests_of_before(self, shards):
        answers = [shards.ask(rpush(shards.keys[n % SHARDS], b"x" * 1000), n % SHARDS) for n in range(3000)]
        eventually(shards.threads)
        shards.nodes.close(20)
        assert all(answer.done() for answer in answers)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(("pipeline to", "retry"))]
        assert shards.result(rpush(shards.keys[0], b"x")) == 1001

    def test_a_forked_process_begins_without_requests(self, shards):
        assert shards.result(rpush(shards.keys[0], b"x")) == 1
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:  # pragma: no cover
            with contextlib.suppress(BaseException):
                os.write(writing, b"%d" % shards.result(rpush(shards.keys[0], b"x")))
            os._exit(0)
        os.waitpid(process, 0)
        assert os.read(reading, 10) == b"2"
        os.close(reading), os.close(writing)
        assert shards.result(rpush(shards.keys[0], b"x")) == 3


class TestOrder:
    @pytest.mark.parametrize("moves", [1, 6])
    def test_requests_to_a_shard_keep_their_order_while_its_slot_moves(self, shards, shared_masters, moves):
        ended = threading.Event()
        answers = []

        def ask():
            while not ended.is_set():
                answers.append(shards.ask(rpush(shards.keys[0], b"%d" % len(answers))))
                if len(answers) % 50 == 0:
                    answers[-1].result(20)

        thread = threading.Thread(target=ask)
        thread.start()
        for _ in range(moves):
            shared_masters.move_slot(shards.slot(), other_node(shared_masters, shards.slot()))
            before = len(answers)
            eventually(lambda before=before: len(answers) > before + 100, timeout=20)
        ended.set()
        thread.join()
        assert [answer.result(20) for answer in answers] == list(range(1, len(answers) + 1))
        assert shards.result(lrange(shards.keys[0])) == numbers(0, len(answers))

    def test_later_requests_wait_behind_a_refused_one(self, shards, shared_masters):
        """Two keys of a slot on the move are refused; the second of them alone would be served."""
        key = shards.keys[0]
        there, here = key + b"there", key + b"here"
        shards.result(mset(there, here))
        shared_masters.begin_move(shards.slot(), other_node(shared_masters, shards.slot()))
        try:
            shared_masters.migrate(shards.slot(), [there])
            refused, other = shards.ask(mset(there, here)), shards.ask(rpush(shards.keys[1], b"x"), 1)
            eventually(lambda: any(thread.name == f"retry at {shards.tags[0]}" for thread in threading.enumerate()))
            later = shards.ask(Operation(command(b"GETSET", here, b"2"), bytes))
            assert other.result(20) == 1
            assert shards.result(rpush(shards.keys[1], b"x"), 1) == 2
            assert not refused.done()
            assert not later.done()
        finally:
            shared_masters.end_move(shards.slot())
        assert refused.result(20)
        assert later.result(20) == b"1"

    @pytest.mark.parametrize("is_late", [False, True])
    def test_a_loop_has_requests_wait_behind_a_refused_one(self, shards, shared_masters, is_late):
        """It sends the first of two at once. Where that fails in the end, it was not too late for the other."""
        key = shards.keys[0]
        there, here = key + b"there", key + b"here"
        shards.result(mset(there, here))
        served = []

        async def run():
            loop, queue = asyncio.get_running_loop(), shards.queues[shards.shards[0]]

            def ask(operation):
                return queue.submit(operation, loop.create_future())

            def get():
                return ask(Operation(command(b"GET", here), bytes))

            await until(lambda: shards.has_trips_of(loop) or get() is None)
            shared_masters.begin_move(shards.slot(), other_node(shared_masters, shards.slot()))
            try:
                shared_masters.migrate(shards.slot(), [there])
                before, refused, later = get(), ask(mset(there, here)), get()
                refused.add_done_callback(lambda _: served.append("refused"))
                later.add_done_callback(lambda _: served.append("later"))
                assert await before == b"1"
                await until(lambda: any("retry" in thread.name for thread in threading.enumerate()))
                if is_late:
                    with pytest.raises(ResponseError, match="Multiple keys request"):
                        await refused
                    assert await later == b"1"
            finally:
                shared_masters.end_move(shards.slot())
            if not is_late:
                assert (await refused, await later) == (True, b"1")

        asyncio.run(run())
        assert served == ["refused", "later"]

    def test_requests_go_on_when_the_first_was_refused_for_too_long(self, shards, shared_masters):
        key = shards.keys[0]
        there, here = key + b"there", key + b"here"
        shards.result(mset(there, here))
        shared_masters.begin_move(shards.slot(), other_node(shared_masters, shards.slot()))
        try:
            shared_masters.migrate(shards.slot(), [there])
            answers = [shards.ask(mset(there, here)) for _ in range(20)]
            begin = time.monotonic()
            alone = [shards.ask(Operation(command(b"GET", one), bytes)) for one in (there, here)]
            for answer in answers:
                with pytest.raises(ResponseError, match="Multiple keys request"):
                    answer.result(20)
            assert [one.result(20) for one in alone] == [b"1", b"1"]
            assert time.monotonic() - begin < 10  # twice the patience, a second, and some
        finally:
            shared_masters.end_move(shards.slot())

    def test_a_request_that_was_given_up_is_not_made_again(self, shards, shared_masters):
        key = shards.keys[0]
        there, here = key + b"there", key + b"here"
        shards.result(mset(there, here))
        shared_masters.begin_move(shards.slot(), other_node(shared_masters, shards.slot()))
        try:
            shared_masters.migrate(shards.slot(), [there])
            shards.ask(mset(there, here))
            eventually(lambda: any(thread.name == f"retry at {shards.tags[0]}" for thread in threading.enumerate()))
            shards.ask(Operation(command(b"SET", here, b"2"), bool)).cancel()
        finally:
            shared_masters.end_move(shards.slot())
        assert shards.result(Operation(command(b"GET", here), bytes)) == b"1"


class TestErrors:
    def test_an_error_is_that_of_its_request_alone(self, shards):
        wrong = Operation(command(b"GET", shards.keys[0]), bytes)
        shards.result(rpush(shards.keys[0], b"x"))
        answers = [shards.ask(one) for one in (rpush(shards.keys[0], b"x"), wrong, rpush(shards.keys[0], b"x"))]
        assert answers[0].result(20) == 2
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            answers[1].result(20)
        assert answers[2].result(20) == 3

    def test_another_number_of_shards_is_an_error_of_all_requests(self, make_shards, single_node_cluster):
        make_shards(single_node_cluster).result(Operation(command(b"PING"), bytes))
        others = make_shards(single_node_cluster, claimed=5)
        for answer in [others.ask(rpush(others.keys[0], b"x")) for _ in range(10)]:
            with pytest.raises(ConfigurationError, match="shards is 5"):
                answer.result(20)

    def test_requests_to_a_node_that_is_gone_fail_together(self, make_shards, fresh_single_node_cluster):
        shards = make_shards(fresh_single_node_cluster)
        shards.result(rpush(shards.keys[0], b"x"))
        fresh_single_node_cluster.kill(fresh_single_node_cluster.nodes[0])
        begin = time.monotonic()
        answers = [shards.ask(rpush(shards.keys[n % SHARDS], b"x"), n % SHARDS) for n in range(60)]
        for answer in answers:
            with pytest.raises(ConnectionError):
                answer.result(20)
        assert time.monotonic() - begin < 8


def test_coroutines_of_several_loops_use_one_queue(shards):
    async def run():
        loop = asyncio.get_running_loop()
        queue = shards.queues[shards.shards[0]]
        return [await queue.submit(rpush(shards.keys[0], b"x"), loop.create_future()) for _ in range(20)]

    results = []
    threads = [threading.Thread(target=lambda: results.extend(asyncio.run(run()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 81))
