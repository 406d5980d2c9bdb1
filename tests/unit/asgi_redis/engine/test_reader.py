"""What a worker receives with, on real servers that come and go."""

from __future__ import annotations

import gc
import threading
import time

import pytest
import redis
from redis.credentials import CredentialProvider

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire.names import shard_of
from tests.support.servers import pause, resume
from tests.support.waiting import eventually


@pytest.fixture
def servers(three_fresh_redis_servers):
    return three_fresh_redis_servers


@pytest.fixture
def layer(servers, prefix):
    kwargs = {"socket_connect_timeout": 1}
    with RedisChannelLayer(
        hosts=[server.url for server in servers], prefix=prefix, connection_kwargs=kwargs
    ) as layer:
        yield layer


@pytest.fixture
def reader(layer):
    reader = layer.reader()
    yield reader
    reader.close()


def log_lines(caplog):
    return [record.getMessage() for record in caplog.records if "serve" in record.getMessage()]


def send_to(server, prefix, channel, **content):
    """To this one of the shards: a sender of the whole layer would take the next in turn."""
    with RedisChannelLayer(hosts=[server.url], prefix=prefix) as one:
        one.send(channel, content)


def receive_all(reader, channels, number):
    received = []
    eventually(lambda: received.extend(reader.receive_batch(channels, 10, 0.2)) or len(received) >= number)
    return sorted(content["n"] for _, content in received)


def test_a_shard_that_is_away_keeps_no_message_of_the_others_waiting(servers, reader, prefix):
    assert reader.receive_batch(["c"], 1) == []
    servers[1].kill()
    for n, server in enumerate((servers[0], servers[2])):
        send_to(server, prefix, "c", n=n)
    assert receive_all(reader, ["c"], 2) == [0, 1]
    # And with one that arrives while it waits.
    threading.Timer(0.2, send_to, [servers[2], prefix, "c"], {"n": 2}).start()
    before = time.monotonic()
    assert reader.receive_batch(["c"], 1, 5) == [("c", {"n": 2})]
    assert time.monotonic() - before < 4
    assert reader.serving


def test_a_shard_is_read_again_when_it_is_back_also_by_a_wait_that_goes_on(servers, reader, prefix, caplog):
    reader.receive_batch(["c"], 1)
    servers[1].kill()
    eventually(lambda: reader.receive_batch(["c"], 1) == [] and reader.absent == {1})
    servers[1].start()
    send_to(servers[1], prefix, "c", n=1)
    received = []
    before = time.monotonic()
    eventually(lambda: received.extend(reader.receive_batch(["c"], 1, 9)) or received)
    assert received == [("c", {"n": 1})]
    assert time.monotonic() - before < 5  # the wait was ended, and did not run out
    lines = log_lines(caplog)
    assert len(lines) == 2
    assert str(servers[1].port) in lines[0]
    assert "does not serve messages" in lines[0]
    assert "serves messages again after" in lines[1]


def test_a_shard_that_is_back_and_not_asked_for_does_not_end_the_waits(servers, reader, prefix, caplog):
    """The channels of now may be on other shards: nothing is received from it, so it cannot show that it serves."""
    elsewhere = next(name for name in (f"c{n}!" for n in range(99)) if shard_of(name.encode(), 3) == 0)
    servers[1].kill()
    eventually(lambda: reader.receive_batch(["c"], 1) == [] and reader.absent == {1})
    servers[1].start()
    eventually(lambda: reader.receive_batch([elsewhere], 1) == [] and not reader.absent)
    reader.receive_batch([elsewhere], 1)  # which the shard's return may have ended
    before = time.monotonic()
    assert reader.receive_batch([elsewhere], 1, 0.3) == []
    assert time.monotonic() - before > 0.25
    assert reader.receive_batch(["c"], 1) == []
    assert len(log_lines(caplog)) == 2


def test_a_shard_is_tried_again_whatever_trying_raises(servers, prefix):
    """What a program hangs into redis-py, such as a provider of credentials, raises errors of its own."""

    class Credentials(CredentialProvider):
        refusals = 0

        def get_credentials(self):
            if self.refusals:
                self.refusals -= 1
                raise LookupError("no token")
            return ("default", "any")  # a user without a password

    credentials = Credentials()
    hosts = [server.url for server in servers]
    with RedisChannelLayer(
        hosts=hosts, prefix=prefix, connection_kwargs={"credential_provider": credentials}
    ) as layer:
        reader = layer.reader()
        reader.receive_batch(["c"], 1)
        servers[1].kill()
        eventually(lambda: reader.receive_batch(["c"], 1) == [] and reader.absent == {1})
        credentials.refusals = 1
        servers[1].start()
        reader.receive_batch(["c"], 1)
        eventually(lambda: not credentials.refusals)
        eventually(lambda: not reader.absent)
        reader.close()


def test_with_no_server_at_all_it_waits_for_one_and_raises_nothing(fresh_redis_server, prefix, caplog):
    with RedisChannelLayer(hosts=[fresh_redis_server.url], prefix=prefix) as layer:
        fresh_redis_server.kill()
        reader = layer.reader()
        assert reader.receive_batch(["c"], 1, 0.1) == []
        before = time.monotonic()
        assert reader.receive_batch(["c"], 1, 0.3) == []
        assert 0.25 < time.monotonic() - before < 4
        assert not reader.serving
        fresh_redis_server.start()
        layer.send("c", {"n": 1})
        received = []
        eventually(lambda: received.extend(reader.receive_batch(["c"], 1, 5)) or received)
        assert reader.serving
        assert len(log_lines(caplog)) == 2
        reader.close()


def test_a_server_that_pings_and_serves_no_messages_is_one_outage(fresh_redis_server, prefix, caplog):
    """A replica answers, and refuses each pop: that is no end of the outage."""
    with RedisChannelLayer(hosts=[fresh_redis_server.url], prefix=prefix) as layer:
        reader = layer.reader()
        layer.send("c", {"n": 1})
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            client.replicaof("127.0.0.1", 1)
            eventually(lambda: not reader.receive_batch(["c"], 1, 0.05) and reader.absent)
            before = time.monotonic()
            while time.monotonic() - before < 0.6:
                assert reader.receive_batch(["c"], 1, 0.05) == []
            client.replicaof("NO", "ONE")
        received = []
        eventually(lambda: received.extend(reader.receive_batch(["c"], 1, 5)) or received)
        assert len(log_lines(caplog)) == 2
        reader.close()


def test_unblock_ends_a_wait_or_the_next_one(redis_server, prefix):
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
        reader = layer.reader()
        reader.receive_batch(["c"], 1)
        threading.Timer(0.1, reader.unblock).start()
        before = time.monotonic()
        assert reader.receive_batch(["c"], 1, 5) == []
        assert time.monotonic() - before < 4
        reader.unblock()
        assert reader.receive_batch(["c"], 1, 5) == []
        assert time.monotonic() - before < 4
        reader.receive_batch(["c"], 1, 0.2)
        assert time.monotonic() - before > 0.25  # it has ended one wait, not all


def test_no_more_are_taken_from_a_channel_than_said(servers, layer, reader):
    for n in range(9):
        layer.send("few", {"n": n})
        layer.send("many", {"n": n})
    received = reader.receive_batch(["few", "many"], 18, limits={"few": 2})
    assert [name for name, _ in received].count("few") == 2
    assert [name for name, _ in received].count("many") == 9
    assert len(reader.receive_batch(["few", "many"], 18)) == 7


def test_a_redis_that_is_too_old_is_said_not_waited_for(prefix):
    with RedisServer([("rename-command", ["EVALSHA", ""])]) as server:
        reader = RedisChannelLayer(hosts=[server.url], prefix=prefix).reader()
        with pytest.raises(UnsupportedRedis, match="lacks a command"):
            reader.receive_batch(["c"], 1)


class TestAServerThatHangs:
    """It takes connections and requests, and does not answer."""

    @pytest.fixture
    def paused(self, servers, reader):
        """Pauses one in the middle of a wait, when pops are under way on all of them."""
        reader.receive_batch(["c"], 1, 0.1)

        def pause_it():
            with redis.Redis(port=servers[1].port, protocol=2) as client:
                eventually(lambda: client.info("clients")["blocked_clients"])
            pause(servers[1])

        yield pause_it
        resume(servers[1])

    @pytest.mark.parametrize("number", [1, 10])
    def test_it_holds_up_no_message_of_the_others_and_loses_none(
        self, servers, reader, prefix, paused, number, caplog
    ):
        received, times = [], {}

        def receive():
            while len(received) < 4:
                for _, content in reader.receive_batch(["c"], number, 5):
                    received.append(content["n"])
                    times[content["n"]] = time.monotonic()

        receiving = threading.Thread(target=receive)
        receiving.start()
        paused()
        before = time.monotonic()
        send_to(servers[0], prefix, "c", n=0)
        eventually(lambda: received == [0])
        assert times[0] - before < 4, "a shard that hangs keeps a message in hand for no more than a second or two"
        for n in (1, 2):
            before = time.monotonic()
            send_to(servers[2], prefix, "c", n=n)
            eventually(lambda n=n: n in received)
            assert times[n] - before < 0.9
        assert reader.absent == {1}
        resume(servers[1])
        send_to(servers[1], prefix, "c", n=3)
        receiving.join(20)
        assert received == [0, 1, 2, 3]
        assert reader.receive_batch(["c"], 10) == []
        assert len(log_lines(caplog)) == 2

    def test_a_message_that_its_pop_takes_when_it_goes_on_is_put_back(self, servers, reader, prefix, paused):
        with redis.Redis(port=servers[1].port, protocol=2) as client:
            pinned = threading.Thread(target=paused)
            pinned.start()
            assert reader.receive_batch(["c"], 1, 0.5) == []
            pinned.join()
            assert not reader.settle(time.monotonic() + 0.05)
            # Sent while it is paused, so that the pop which still waits there is the first to get it.
            sending = threading.Thread(target=lambda: send_to(servers[1], prefix, "c", n=1))
            sending.start()
            resume(servers[1])
            sending.join()
            assert receive_all(reader, ["c"], 1) == [1]
            assert reader.settle(time.monotonic() + 10)
            eventually(lambda: not client.info("clients")["blocked_clients"])
        assert reader.receive_batch(["c"], 1) == []

    def test_unblocking_ends_a_wait_on_it_soon(self, reader, paused):
        ended = threading.Event()
        receiving = threading.Thread(target=lambda: (reader.receive_batch(["c"], 1, 30), ended.set()))
        receiving.start()
        paused()
        reader.unblock()
        assert ended.wait(5)
        receiving.join()


class TestKeysOfAnotherType:
    def test_one_costs_its_own_channel_and_no_other(self, servers, reader, prefix, caplog):
        with redis.Redis(port=servers[1].port, protocol=2) as client:
            client.lpush(f"{prefix}bad", "old")
        for n, server in enumerate(servers):
            send_to(server, prefix, "good", n=n)
        assert receive_all(reader, ["bad", "good"], 3) == [0, 1, 2]
        send_to(servers[0], prefix, "bad", n=3)
        assert receive_all(reader, ["bad", "good"], 1) == [3]
        assert not reader.absent
        (line,) = [record.getMessage() for record in caplog.records]
        assert f"key '{prefix}bad' at" in line
        assert "is a list, not a sorted set" in line

    def test_a_wait_goes_on_without_it_and_reads_it_once_it_is_a_queue(self, servers, reader, prefix, caplog):
        with redis.Redis(port=servers[1].port, protocol=2) as client:
            client.lpush(f"{prefix}bad", "old")
            before = time.monotonic()
            assert reader.receive_batch(["bad"], 1, 0.3) == []
            assert time.monotonic() - before >= 0.3
            client.delete(f"{prefix}bad")
        send_to(servers[1], prefix, "bad", n=1)
        assert receive_all(reader, ["bad"], 1) == [1]
        assert "is a queue again" in caplog.records[-1].getMessage()
        assert not reader.absent


def test_a_reader_that_is_left_leaves_no_thread_behind():
    def outages():
        return [thread for thread in threading.enumerate() if thread.name.startswith("outage of")]

    others = len(outages())
    with RedisChannelLayer(hosts=["redis://127.0.0.1:1/0"]) as layer:
        readers = [layer.reader() for _ in range(20)]
        for reader in readers:
            reader.receive_batch(["c"], 1)
        assert len(outages()) == others, "no thread before there is another call"
        for reader in readers:
            reader.receive_batch(["c"], 1)
        assert len(outages()) > others
        del readers, reader
        gc.collect()  # the errors know where they were raised
        eventually(lambda: len(outages()) <= others)
