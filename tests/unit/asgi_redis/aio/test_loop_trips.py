"""The round trips that an event loop makes itself, and what a thread takes over of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from types import SimpleNamespace

import pytest
import redis
from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.aio import loop_trips
from asgi_redis.aio.loop_waker import NOT_SENT, BlockingResult, settle
from asgi_redis.aio.pipeline import Pipeline
from asgi_redis.connection import Server, descriptor, parse_hosts, replies, round_trip
from asgi_redis.process.wakeup import poll
from asgi_redis.wire import Operation
from asgi_redis.wire.operation import command
from tests.support.async_waiting import until
from tests.support.descriptors import expect_no_more_descriptors, open_descriptors
from tests.support.proxy import Proxy
from tests.support.threads import in_threads
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


def rpush(key, *values):
    return Operation(command(b"RPUSH", key, *values), int)


def lrange(key):
    return Operation(command(b"LRANGE", key, b"0", b"-1"), list)


def echo(text):
    return Operation(command(b"ECHO", text), bytes)


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def key(prefix):
    return f"{prefix}list".encode()


@pytest.fixture
def block(prefix):
    """A request that is answered when something is pushed to the list ``gate``."""
    return Operation(command(b"BLPOP", f"{prefix}gate".encode(), b"0"), list)


@pytest.fixture
def open_gate(client, prefix):
    """``open_gate()`` lets the request ``block`` end."""
    return lambda: client.rpush(f"{prefix}gate", "open")


@pytest.fixture
def make_pipeline(redis_server):
    """``make_pipeline(**options)`` makes one to the server, which is closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            server = Server(parse_hosts([{"address": redis_server.url, **options}])[0])
            pipeline = Pipeline(server)
            pipeline.server = server
            stack.callback(server.drop_idle)
            stack.callback(pipeline.close, 10)
            return pipeline

        yield make


@pytest.fixture
def pipeline(make_pipeline):
    return make_pipeline()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """``run(coroutine)`` as ``asyncio.run`` does, in loops of both kinds."""
    if request.param == "asyncio":
        return asyncio.run
    uvloop = pytest.importorskip("uvloop")

    def run(coroutine):
        loop = uvloop.new_event_loop()
        try:
            return loop.run_until_complete(coroutine)
        finally:
            loop.close()

    return run


def submit(pipeline, operation):
    return pipeline.submit(operation, asyncio.get_running_loop().create_future())


async def warm(pipeline):
    """Have the running loop carry out requests of the pipeline."""

    async def is_carried():
        assert await submit(pipeline, echo(b"warm")) == b"warm"
        return pipeline._trips is not None and pipeline._trips.is_of(asyncio.get_running_loop())

    while not await is_carried():
        await asyncio.sleep(0)


def thread_trips(pipeline):
    """Return the list of the trips that the thread will make from now on."""
    made, make = [], pipeline._make_trip
    pipeline._make_trip = lambda batch: (made.append(batch), make(batch))
    return made


class TestTheLoop:
    def test_makes_trips_without_the_thread(self, pipeline, run):
        async def use():
            await warm(pipeline)
            made = thread_trips(pipeline)
            for number in range(50):
                assert await submit(pipeline, echo(b"%d" % number)) == b"%d" % number
            assert not made

        run(use())

    def test_has_the_requests_of_the_meantime_go_together(self, pipeline, run, client):
        async def use():
            await warm(pipeline)
            before = client.info("stats")["total_reads_processed"]
            replies = await asyncio.gather(*(submit(pipeline, echo(b"%d" % number)) for number in range(100)))
            assert replies == [b"%d" % number for number in range(100)]
            assert client.info("stats")["total_reads_processed"] - before <= 5

        run(use())

    @pytest.mark.parametrize("timeout", [20, None])
    def test_sends_and_receives_megabytes_in_pieces(self, make_pipeline, run, timeout):
        pipeline = make_pipeline(socket_timeout=timeout)

        async def use():
            await warm(pipeline)
            made, text = thread_trips(pipeline), b"x" * 20_000_000
            one, other = submit(pipeline, echo(text)), submit(pipeline, echo(b"other"))
            assert (await one, await other) == (text, b"other")
            assert not made

        run(use())

    @pytest.mark.parametrize("timeout", [20, None])
    def test_leaves_a_thread_a_connection_that_blocks(self, make_pipeline, run, timeout):
        pipeline = make_pipeline(socket_timeout=timeout)

        async def use():
            await warm(pipeline)
            made, text = thread_trips(pipeline), b"x" * 5_000_000
            assert pipeline.submit(echo(text), BlockingResult()).result(20) == text
            assert made

        run(use())
        assert len(pipeline.server._idle) == 1

    @pytest.fixture
    def sizes(self, monkeypatch):
        """The numbers of requests in each trip of a loop."""
        sizes, make_trip = [], loop_trips.RoundTrip

        def note_and_make_trip(server, connection, operations, reader):
            sizes.append(len(operations))
            return make_trip(server, connection, operations, reader)

        monkeypatch.setattr(loop_trips, "RoundTrip", note_and_make_trip)
        return sizes

    def test_has_the_next_requests_of_several_coroutines_go_together(self, pipeline, run, sizes):
        async def use():
            await warm(pipeline)
            sizes.clear()
            await asyncio.gather(*(ask() for _ in range(10)))
            assert sizes == [1, *[10] * 9, 9]

        async def ask():
            for _ in range(10):
                await submit(pipeline, echo(b"x"))

        run(use())

    def test_sends_some_megabytes_at_a_time(self, pipeline, run, sizes):
        async def use():
            await warm(pipeline)
            sizes.clear()
            await asyncio.gather(*(submit(pipeline, echo(b"x" * (loop_trips.MAX_BYTES // 2))) for _ in range(7)))
            assert sizes == [1, 2, 2, 2]

        run(use())

    def test_keeps_its_order(self, pipeline, run, key):
        async def use():
            await warm(pipeline)
            for number in range(300):
                submit(pipeline, rpush(key, b"%d" % number))
                if number % 7 == 0:
                    await asyncio.sleep(0)
            assert await submit(pipeline, lrange(key)) == [b"%d" % number for number in range(300)]

        run(use())

    def test_gives_its_connection_back_when_it_has_no_requests(self, pipeline, run, monkeypatch):
        monkeypatch.setattr(loop_trips, "_LOOK_SECONDS", 0.02)

        async def use():
            await warm(pipeline)
            assert not pipeline.server._idle
            await until(lambda: pipeline.server._idle)
            assert pipeline._trips is None
            await warm(pipeline)

        run(use())

    def test_notices_that_the_server_has_closed_its_connection(self, pipeline, run, client):
        async def use():
            await warm(pipeline)
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await until(lambda: pipeline._trips is None)
            assert await submit(pipeline, echo(b"again")) == b"again"

        run(use())

    def test_takes_no_pushed_message_for_a_reply(self, make_pipeline, run, client, prefix, block, open_gate):
        if replies.hiredis is not None and not hasattr(replies.hiredis, "PushNotification"):
            pytest.skip("to this hiredis a message that was pushed is a list like any other")
        pipeline = make_pipeline(protocol=3)

        async def use():
            await warm(pipeline)
            made, tracking = (
                thread_trips(pipeline),
                Operation(command(b"CLIENT", b"TRACKING", b"ON", b"BCAST"), bytes),
            )
            assert await submit(pipeline, tracking) == b"OK"
            waiting, later = submit(pipeline, block), submit(pipeline, echo(b"later"))
            client.set(f"{prefix}changed", "1")  # the server tells the connection
            open_gate()
            assert (await waiting)[1] == b"open"
            assert await later == b"later"
            assert not made

        run(use())

    def test_needs_a_descriptor_more_or_else_the_thread(self, pipeline, run, monkeypatch):
        def fail(number):
            raise OSError("Too many open files")

        monkeypatch.setattr(loop_trips, "Duplicate", fail)

        async def use():
            for number in range(20):
                assert await submit(pipeline, echo(b"%d" % number)) == b"%d" % number
            assert pipeline._trips is None
            assert len(pipeline.server._idle) == 1

        run(use())

    def test_begins_once_when_the_collector_makes_a_request_meanwhile(self, pipeline, run, key, monkeypatch):
        asked, make_reader = [], loop_trips.ReplyReader

        def ask_and_make_reader(**options):
            if not asked and pipeline._at_rest:
                asked.append(None)
                asked[0] = submit(pipeline, rpush(key, b"1"))
            return make_reader(**options)

        for connection in [pipeline.server.checkout() for _ in range(3)]:
            pipeline.server.release(connection)

        async def use():
            monkeypatch.setattr(loop_trips, "ReplyReader", ask_and_make_reader)
            while not asked:
                await submit(pipeline, echo(b"x"))
            assert await asked[0] == 1
            assert await submit(pipeline, rpush(key, b"2")) == 2

        run(use())


class TestRequestsThatWait:
    def test_are_sent_after_any_number_of_given_up_ones(self, pipeline, run, block, open_gate):
        async def use():
            await warm(pipeline)
            waiting = submit(pipeline, block)
            given_up = [submit(pipeline, echo(b"given up")) for _ in range(2 * loop_trips.MAX_OPERATIONS)]
            wanted = submit(pipeline, echo(b"wanted"))
            for future in given_up:
                future.cancel()
            open_gate()
            await waiting
            assert await asyncio.wait_for(wanted, 10) == b"wanted"

        run(use())

    def test_are_delivered_when_they_were_given_up(self, pipeline, run, block, open_gate):
        """The queues of a cluster count them."""
        delivered = []

        async def use():
            await warm(pipeline)
            pipeline.deliver = lambda outcomes: settle(delivered.append(one) or one for one in outcomes)
            waiting, given_up = submit(pipeline, block), submit(pipeline, echo(b"given up"))
            given_up.cancel()
            open_gate()
            await waiting
            await until(lambda: (given_up, NOT_SENT) in delivered)

        run(use())

    def test_are_sent_when_the_collector_makes_one_at_the_end_of_a_trip(self, pipeline, run):
        async def use():
            await warm(pipeline)
            trips, asked = pipeline._trips, []
            let_go = trips._let_go

            def ask_and_let_go():
                if trips._trip is None and not asked:
                    asked.append(submit(pipeline, echo(b"asked")))
                let_go()

            trips._let_go = ask_and_let_go
            assert await submit(pipeline, echo(b"first")) == b"first"
            more = submit(pipeline, echo(b"more"))
            assert await asyncio.wait_for(asyncio.gather(asked[0], more), 10) == [b"asked", b"more"]
            assert pipeline._trips is trips

        run(use())

    def test_are_sent_by_the_thread_after_an_interruption_in_the_loop(self, pipeline, run, monkeypatch):
        monkeypatch.setattr(loop_trips, "_LOOK_SECONDS", 0.02)

        def fail(outcomes):
            settle(outcomes)
            pipeline.deliver = settle
            raise RuntimeError("interrupted")

        async def use():
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            await warm(pipeline)
            pipeline.deliver = fail
            first = [submit(pipeline, echo(b"%d" % number)) for number in range(4)]
            await until(lambda: pipeline.deliver is settle)
            assert await asyncio.wait_for(submit(pipeline, echo(b"later")), 10) == b"later"
            assert await asyncio.gather(*first) == [b"0", b"1", b"2", b"3"]

        run(use())

    def test_watch_for_no_room_when_all_is_written(self, pipeline, run):
        """The last bytes may go out with a read: the loop must not be told for ever that there is room."""

        async def use():
            await warm(pipeline)
            trips, calls = pipeline._trips, []
            asyncio.get_running_loop().add_writer(trips._duplicate, lambda: (calls.append(None), trips._writable()))
            await until(lambda: calls)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(calls) == 1

        run(use())

    def test_come_behind_those_that_a_thread_has(self, pipeline, run, key, client, block, open_gate):
        def is_blocked():
            return client.info("clients")["blocked_clients"]

        for connection in [pipeline.server.checkout() for _ in range(3)]:
            pipeline.server.release(connection)

        async def use():
            first = pipeline.submit(block, BlockingResult())
            await until(is_blocked)
            second, pushed = (pipeline.submit(one, BlockingResult()) for one in (block, rpush(key, b"1")))
            open_gate()
            first.result(10)
            await until(is_blocked)
            pushed_by_loop = submit(pipeline, rpush(key, b"2"))
            open_gate()
            assert second.result(10)
            assert pushed.result(10) == 1
            assert await pushed_by_loop == 2

        run(use())


class TestAConnectionOfALoop:
    def test_is_looked_at_before_a_request_when_the_loop_was_busy(self, pipeline, run, client, key, monkeypatch):
        monkeypatch.setattr("asgi_redis.connection.server.FRESH_SECONDS", -1)

        async def use():
            await warm(pipeline)
            trips = pipeline._trips
            assert await submit(pipeline, echo(b"kept")) == b"kept"
            assert pipeline._trips is trips
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert poll([trips._duplicate], 10)
            assert await submit(pipeline, rpush(key, b"1")) == 1

        run(use())

    def test_is_given_up_where_it_would_have_to_be_checked(self, make_pipeline, run):
        pipeline = make_pipeline(health_check_interval=60)

        async def use():
            await warm(pipeline)
            trips = pipeline._trips
            trips._used_at -= 61
            assert await submit(pipeline, echo(b"other")) == b"other"
            assert pipeline._trips is not trips

        run(use())

    def test_shows_that_others_that_were_not_used_since_are_dead(self, make_pipeline, run, block, monkeypatch):
        monkeypatch.setattr(loop_trips, "_LOOK_SECONDS", 0.05)
        pipeline = make_pipeline(socket_timeout=0.2)
        server = pipeline.server

        async def use():
            await warm(pipeline)
            server.release(server.checkout())
            assert await submit(pipeline, echo(b"later")) == b"later"
            with pytest.raises(TimeoutError):
                await submit(pipeline, block)
            await until(lambda: not server._idle)

        run(use())

    @pytest.fixture
    def late(self, monkeypatch):
        """Holds by how many seconds the clock of the loop's trips is fast."""
        late = [0]
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late[0])
        monkeypatch.setattr(loop_trips, "time", clock)
        monkeypatch.setattr(round_trip, "time", clock)
        return late

    def test_is_not_late_when_the_loop_is(self, make_pipeline, run, late):
        pipeline = make_pipeline(socket_timeout=20)

        async def use():
            await warm(pipeline)
            trips, text = pipeline._trips, b"x" * 1_000_000
            waiting = submit(pipeline, echo(text))
            while not trips._trip.write():
                pass
            assert poll([trips._duplicate], 10)
            late[0] = 30
            trips._look_at_time()
            assert pipeline._trips is trips
            assert await waiting == text

        run(use())

    def test_has_as_long_as_bytes_come(self, make_pipeline, run, redis_server, late):
        """The timeout is between bytes, as that of the thread is."""

        async def use(pipeline, proxy):
            await warm(pipeline)
            trips = pipeline._trips
            proxy.hold_reply(b"in pieces", 10)
            waiting = submit(pipeline, echo(b"in pieces"))
            begun = trips._trip.active_at
            late[0] = 15
            await until(lambda: trips._trip.active_at >= begun + 15)
            late[0] = 30
            trips._look_at_time()
            assert pipeline._trips is trips
            proxy.release()
            assert await waiting == b"in pieces"

        with Proxy((redis_server.host, redis_server.port)) as proxy:
            run(use(make_pipeline(address=proxy.url, socket_timeout=20), proxy))


class TestARequestWithoutAReply:
    def test_raises_and_is_not_sent_again_when_the_line_is_cut(self, pipeline, run, client, key, block):
        async def use():
            await warm(pipeline)
            pushed, waiting = submit(pipeline, rpush(key, b"1")), submit(pipeline, block)
            pushed_after = submit(pipeline, rpush(key, b"2"))
            assert await pushed == 1
            await until(lambda: client.info("clients")["blocked_clients"])
            later = submit(pipeline, rpush(key, b"3"))
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            for lost in waiting, pushed_after:
                with pytest.raises(ConnectionError):
                    await lost
            assert await later == 2  # it had not been sent
            assert await submit(pipeline, lrange(key)) == [b"1", b"3"]

        run(use())

    def test_raises_after_the_timeout(self, make_pipeline, run, block, monkeypatch):
        monkeypatch.setattr(loop_trips, "_LOOK_SECONDS", 0.05)
        pipeline = make_pipeline(socket_timeout=0.2)

        async def use():
            await warm(pipeline)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(submit(pipeline, block), 5)
            assert await submit(pipeline, echo(b"again")) == b"again"

        run(use())

    def test_that_was_cancelled_leaves_the_next_in_step(self, pipeline, run, open_gate, block):
        async def use():
            await warm(pipeline)
            given_up, unsent, later = (submit(pipeline, one) for one in (block, echo(b"unsent"), echo(b"later")))
            given_up.cancel()
            unsent.cancel()
            open_gate()
            assert await later == b"later"
            assert await submit(pipeline, echo(b"next")) == b"next"

        run(use())

    def test_goes_out_by_another_connection_when_nothing_of_it_was_sent(self, pipeline, run, key):
        async def use():
            await warm(pipeline)
            with socket.socket(fileno=os.dup(descriptor(pipeline._trips._connection))) as duplicate:
                duplicate.shutdown(socket.SHUT_WR)
            assert await submit(pipeline, rpush(key, b"1")) == 1

        run(use())


class TestTheThreadTakesOver:
    def test_a_request_that_is_partly_sent_before_those_that_wait(self, pipeline, run, key):
        async def use():
            await warm(pipeline)
            trips = pipeline._trips
            large, small = submit(pipeline, rpush(key, b"x" * 20_000_000)), submit(pipeline, rpush(key, b"small"))
            assert trips._trip is not None
            assert not trips._trip._is_written()
            assert pipeline.submit(rpush(key, b"last"), BlockingResult()).result(20) == 3
            assert await asyncio.gather(large, small) == [1, 2]

        run(use())

    def test_and_the_loop_polls_no_more(self, pipeline, run, monkeypatch):
        told = []
        for name in "_readable", "_writable":
            call = getattr(loop_trips.LoopTrips, name)
            monkeypatch.setattr(loop_trips.LoopTrips, name, lambda trips, call=call: (told.append(None), call(trips)))

        async def use():
            await warm(pipeline)
            submit(pipeline, echo(b"x" * 20_000_000))
            assert pipeline.submit(echo(b"last"), BlockingResult()).result(20) == b"last"
            pipeline.server.drop_idle()  # readable for ever, like the end of each connection
            before = len(told)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(told) == before

        run(use())

    def test_and_late_calls_of_the_loop_do_nothing(self, pipeline, run):
        async def use():
            await warm(pipeline)
            trips = pipeline._trips
            assert pipeline.submit(echo(b"thread"), BlockingResult()).result(10) == b"thread"
            for call in trips._readable, trips._writable, trips._begin_next, trips._look_at_time:
                call()
            assert len(pipeline.server._idle) == 1

        run(use())

    def test_sockets_that_block_as_before(self, make_pipeline, run):
        pipeline = make_pipeline(socket_timeout=None)

        async def use():
            await warm(pipeline)
            duplicate = pipeline._trips._duplicate
            assert not os.get_blocking(duplicate.fileno())
            assert pipeline.submit(echo(b"thread"), BlockingResult()).result(10) == b"thread"
            assert os.get_blocking(duplicate.fileno())

        run(use())

    def test_for_a_caller_that_blocks_the_loop(self, pipeline, run, key):
        """The loop's own requests come first, sent or not."""

        async def use():
            await warm(pipeline)
            loops = [submit(pipeline, rpush(key, b"%d" % number)) for number in range(3)]
            assert pipeline.submit(rpush(key, b"3"), BlockingResult()).result(10) == 4
            assert await asyncio.gather(*loops) == [1, 2, 3]
            assert await submit(pipeline, lrange(key)) == [b"0", b"1", b"2", b"3"]

        run(use())

    def test_after_a_moment_in_which_the_collector_makes_a_blocking_request(self, pipeline, run, key, monkeypatch):
        """The garbage collector may call from anywhere, also while a trip begins."""
        asked, make_trip = [], loop_trips.RoundTrip

        def ask_and_make_trip(*arguments):
            if not asked:
                asked.append(pipeline.submit(rpush(key, b"2"), BlockingResult()))
            return make_trip(*arguments)

        async def use():
            await warm(pipeline)
            monkeypatch.setattr(loop_trips, "RoundTrip", ask_and_make_trip)
            first = submit(pipeline, rpush(key, b"1"))
            assert asked[0].result(10) == 2
            assert await first == 1

        run(use())

    def test_when_the_loop_is_closed_with_requests_under_way(self, pipeline, run, key, block, open_gate):
        async def use():
            await warm(pipeline)
            submit(pipeline, rpush(key, b"1"))
            submit(pipeline, block)
            submit(pipeline, rpush(key, b"2"))

        run(use())
        open_gate()

        async def use_again():
            assert await submit(pipeline, lrange(key)) == [b"1", b"2"]

        run(use_again())
        eventually(lambda: pipeline._at_rest or pipeline._trips)

    def test_when_the_pipeline_is_closed(self, pipeline, run, key):
        async def use():
            await warm(pipeline)
            pushed = [submit(pipeline, rpush(key, b"%d" % number)) for number in range(5)]
            pipeline.close(10)
            assert await asyncio.gather(*pushed) == [1, 2, 3, 4, 5]
            assert await submit(pipeline, echo(b"anew")) == b"anew"

        run(use())

    def test_when_it_is_closed_in_the_middle_of_a_call_of_the_loop(self, pipeline, run, monkeypatch):
        make_trip = loop_trips.RoundTrip

        def close_and_make_trip(*arguments):
            monkeypatch.setattr(loop_trips, "RoundTrip", make_trip)
            pipeline.stop()
            return make_trip(*arguments)

        async def use():
            await warm(pipeline)
            monkeypatch.setattr(loop_trips, "RoundTrip", close_and_make_trip)
            assert await asyncio.wait_for(submit(pipeline, echo(b"closed")), 10) == b"closed"

        run(use())

    def test_when_the_loop_cannot_poll(self, pipeline, monkeypatch):
        async def use():
            await warm(pipeline)
            pipeline.stop()
            with monkeypatch.context() as patch:
                patch.setattr(asyncio.SelectorEventLoop, "add_reader", fail)
                assert await submit(pipeline, echo(b"thread")) == b"thread"
            assert len(failed) == 1
            assert await submit(pipeline, echo(b"later")) == b"later"

        def fail(*_):
            failed.append(None)
            raise OSError("No space left on device")

        failed = []
        asyncio.run(use())  # the methods of uvloop's cannot be replaced

    def test_when_several_loops_make_requests(self, pipeline, run, key):
        async def push():
            for _ in range(200):
                await submit(pipeline, rpush(key, b"x"))

        in_threads(lambda _: run(push()), range(4))
        assert pipeline.submit(rpush(key, b"x"), BlockingResult()).result(10) == 801


def test_loops_that_come_and_go_share_a_connection_and_leave_no_descriptor(pipeline, run):
    run(warm(pipeline))
    made, before = thread_trips(pipeline), open_descriptors()
    for number in range(20):

        async def use(text=b"%d" % number):
            assert await submit(pipeline, echo(text)) == text

        run(use())
    assert not made
    expect_no_more_descriptors(before)


@pytest.mark.native("forks with threads")
def test_a_forked_process_leaves_the_connection_to_the_loop_of_its_parent(pipeline, run, key, block, open_gate):
    async def use():
        await warm(pipeline)
        waiting, later = submit(pipeline, block), submit(pipeline, rpush(key, b"parent"))

        process = os.fork()
        if process == 0:  # pragma: no cover
            with contextlib.suppress(BaseException):
                os._exit(pipeline.submit(rpush(key, b"child"), BlockingResult()).result(10))
            os._exit(100)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1
        open_gate()
        assert (await waiting)[1] == b"open"
        assert await later == 2

    run(use())
