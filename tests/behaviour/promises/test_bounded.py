"""No command takes long: what is large, or much, is served in pieces, and every piece is exact."""

from __future__ import annotations

import tracemalloc

import pytest
import redis

from asgi_redis import MessageTooLarge, RedisChannelLayer
from asgi_redis.engine import group_send
from asgi_redis.wire import GroupSendOperations
from tests.support.servers import ACL_USER

MEBIBYTE = 1 << 20


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


@pytest.fixture(params=["plain", "encrypted", "json"])
def kind(request):
    return {
        "plain": {},
        "encrypted": {"symmetric_encryption_keys": ["key"]},
        "json": {"serializer_format": "json"},
    }[request.param]


def now(client):
    seconds, microseconds = client.time()
    return seconds + microseconds / 1_000_000


def requests_of(monkeypatch):
    """Returns a list of the bytes of each script of a group send from now on."""
    sent = []
    send = GroupSendOperations.send

    def noted(*arguments):
        operation = send(*arguments)
        sent.append(len(operation.packed))
        return operation

    monkeypatch.setattr(GroupSendOperations, "send", noted)
    return sent


class TestGroupSends:
    def test_a_script_has_about_a_mebibyte_to_write(self, layer_for, redis_server, client, prefix, kind, monkeypatch):
        layer = layer_for(redis_server, **kind)
        members = [f"p{number}!x" for number in range(40)]
        client.zadd(f"{prefix}:group:chat", dict.fromkeys(members, now(client)))
        sent = requests_of(monkeypatch)
        assert layer.send_group("chat", {"data": "x" * 100_000}) == 0
        written = sum(len(client.zrange(f"{prefix}p0!", 0, 0)[0]) for _ in members)
        assert len(sent) >= written / MEBIBYTE
        assert max(sent) < 1.1 * MEBIBYTE
        for member in members:
            channel, message = layer.receive([layer.non_local_name(member)])
            assert (channel, len(message["data"])) == (member, 100_000)

    def test_a_thousand_queues_are_served_a_few_hundred_at_a_time(
        self, layer_for, redis_server, client, prefix, kind
    ):
        layer = layer_for(redis_server, **kind)
        client.zadd(f"{prefix}:group:chat", {f"p{number}!x": now(client) for number in range(1000)})
        client.config_resetstat()
        assert layer.send_group("chat", {}) == 0
        assert 2 <= client.info("commandstats")["cmdstat_evalsha"]["calls"] <= 4
        assert layer.global_statistics()["messages_count"] == 1000

    def test_a_client_has_a_few_pieces_in_memory(self, layer_for, redis_server, client, prefix, kind):
        layer = layer_for(redis_server, **kind)
        client.zadd(f"{prefix}:group:chat", {f"p{number}!x": now(client) for number in range(60)})
        layer.send_group("chat", {})
        message = {"data": "x" * MEBIBYTE}
        tracemalloc.start()
        try:
            assert layer.send_group("chat", message) == 0
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 40 * MEBIBYTE
        layer.flush()

    @pytest.mark.parametrize("at_most", [None, 40_000])
    def test_the_names_of_one_process_are_split_over_entries(
        self, layer_for, redis_server, client, prefix, kind, at_most
    ):
        layer = layer_for(redis_server, **kind, **({"max_message_bytes": at_most} if at_most else {}))
        members = [f"p!{number:090}" for number in range(25_000 if at_most is None else 1_500)]
        client.zadd(f"{prefix}:group:chat", dict.fromkeys(members, now(client)))
        assert layer.send_group("chat", {"x": 1}) == 0
        entries = client.zrange(f"{prefix}p!", 0, -1)
        assert len(entries) == (3 if at_most is None else 4)
        assert max(map(len, entries)) < (1.5 * MEBIBYTE if at_most is None else 60_000)
        received = []
        while len(received) < len(members):
            batch = layer.receive_batch(["p!"], 10_000)
            assert batch
            received += [channel for channel, message in batch if message == {"x": 1}]
        assert sorted(received) == members

    def test_a_message_is_too_large_for_a_group_when_it_is_for_a_member(self, layer_for, redis_server, kind):
        layer = layer_for(redis_server, max_message_bytes=2000, **kind)
        for number in range(100):
            layer.group_add("chat", f"p!{number:090}")
        with pytest.raises(MessageTooLarge):
            layer.send("p!" + "0" * 90, {"data": "x" * 1950})
        with pytest.raises(MessageTooLarge):
            layer.send_group("chat", {"data": "x" * 1950})
        assert layer.receive(["p!"]) == (None, None)
        assert layer.send_group("chat", {"data": "x" * 1000}) == 0

    def test_what_is_remembered_of_changing_groups_is_bounded(
        self, layer_for, redis_server, client, prefix, kind, monkeypatch
    ):
        monkeypatch.setattr(group_send, "_CACHE_BYTES", 4 * 300_000)
        layer = layer_for(redis_server, **kind)
        client.zadd(f"{prefix}:group:chat", {f"p{number}!x": now(client) for number in range(400)})
        cached = []
        for number in range(12):
            layer.group_add("chat", f"new!{number}")
            layer.send_group("chat", {})
            cached.append(len(layer.plans._group_sender._frames) + len(layer.plans._group_sender._placements))
        assert 1 < max(cached) < 12


class TestGroups:
    def test_many_members_are_read_in_pieces(self, layer_for, redis_server, client, prefix):
        layer = layer_for(redis_server)
        members = [f"p!{number}" for number in range(12_000)]
        began = now(client)
        client.zadd(f"{prefix}:group:chat", {name: began + n / 100_000 for n, name in enumerate(members)})
        assert layer.group_channels("chat") == members

    def test_many_expired_members_are_removed_in_pieces(self, layer_for, redis_server, client, prefix):
        layer = layer_for(redis_server)
        client.zadd(f"{prefix}:group:chat", {f"p!{number}": 1 for number in range(12_000)})
        client.zadd(f"{prefix}:group:chat", {"q!here": now(client)})
        assert layer.group_channels("chat") == ["q!here"]
        assert client.zcard(f"{prefix}:group:chat") == 1


class TestExpiredMessages:
    @pytest.fixture
    def queue(self, client, prefix):
        """5,000 expired messages, in such a queue as makes a key of its own for each."""
        client.zadd(f"{prefix}work", {b"%05d" % number: number for number in range(5000)})
        return f"{prefix}work"

    def test_a_reader_gets_what_is_behind_them_and_they_go_in_pieces(self, layer_for, redis_server, client, queue):
        layer = layer_for(redis_server)
        client.zadd(queue, {layer.serialize({"n": number}): now(client) + number / 1000 for number in range(3)})
        assert layer.receive(["work"]) == ("work", {"n": 0})
        assert 3000 < client.zcard(queue) < 4500
        assert layer.receive_batch(["work"], 10) == [("work", {"n": 1}), ("work", {"n": 2})]
        assert client.zcard(queue) == 0, "with nothing else in the queue they go at once"

    def test_they_take_no_capacity(self, layer_for, redis_server, client, queue):
        layer = layer_for(redis_server, capacity=3)
        client.zadd(queue, {layer.serialize({"n": 0}): now(client)})
        for number in (1, 2):
            layer.send("work", {"n": number})
        with pytest.raises(layer.ChannelFull):
            layer.send("work", {})
        layer.group_add("chat", "work")
        assert layer.send_group("chat", {}) == 1
        assert 0 < client.zcard(queue) < 3000
        assert layer.channel_statistics("work")["messages_expired"] >= 2000
        assert layer.global_statistics()["messages_expired"] >= 2000
        assert [message["n"] for _, message in layer.receive_batch(["work"], 10)] == [0, 1, 2]

    def test_a_queue_with_nothing_else_goes_at_once(self, layer_for, redis_server, client, queue):
        layer = layer_for(redis_server, capacity=1)
        layer.send("work", {"n": 1})
        assert client.zcard(queue) == 1
        assert layer.channel_statistics("work")["messages_expired"] == 5000
        assert 0 < client.ttl(queue) <= 60


class TestReceiving:
    def test_a_batch_stops_at_about_a_mebibyte(self, layer_for, redis_server):
        layer = layer_for(redis_server)
        for number in range(6):
            layer.send("work", {"n": number, "data": b"x" * 400_000})
        sizes, numbers = [], []
        while len(numbers) < 6:
            batch = layer.receive_batch(["work"], 100)
            sizes.append(len(batch))
            numbers += [message["n"] for _, message in batch]
        assert (sizes, numbers) == ([3, 3], list(range(6)))

    def test_one_message_is_taken_however_large(self, layer_for, redis_server):
        layer = layer_for(redis_server)
        for number in range(2):
            layer.send("work", {"n": number, "data": b"x" * (3 * MEBIBYTE)})
        assert [message["n"] for _, message in layer.receive_batch(["work"], 100)] == [0]
        assert [message["n"] for _, message in layer.receive_batch(["work"], 100)] == [1]


class TestKeysWithoutATTL:
    @pytest.mark.parametrize("call", ["send", "send_group", "group_add", "delayed"])
    def test_where_expire_is_not_allowed_nothing_is_stored(self, fresh_redis_server, prefix, call):
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            try:
                client.execute_command("ACL", "SETUSER", ACL_USER, "on", "nopass", "~*", "+@all", "-pexpire")
            except redis.exceptions.ResponseError as error:
                pytest.skip(f"no ACL: {error}")
            url = f"redis://{ACL_USER}:any@{fresh_redis_server.host}:{fresh_redis_server.port}"
            layer = RedisChannelLayer(hosts=[url], prefix=prefix, stats_prefix=f"{prefix}-meta:")
            client.zadd(f"{prefix}:group:chat", {"work": now(client)})
            client.expire(f"{prefix}:group:chat", 60)
            calls = {
                "send": lambda: layer.send("work", {}),
                "send_group": lambda: layer.send_group("chat", {}),
                "group_add": lambda: layer.group_add("other", "work"),
                "delayed": lambda: layer.delayed.send("work", {}, 1),
            }
            with layer, pytest.raises(redis.exceptions.ResponseError):
                calls[call]()
            assert [key for key in client.keys(f"{prefix}*") if client.ttl(key) < 0] == []
