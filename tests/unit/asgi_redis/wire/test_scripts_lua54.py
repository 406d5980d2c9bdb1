"""
The scripts under Lua 5.4, whose numbers are integers or floats, as servers other than Redis run them.

There ``7 / 1`` is ``7.0``, which as the argument of a command is no integer: whatever a script gives to a command,
and whatever it returns, must be a string or an integer.
"""

from __future__ import annotations

import pytest
import redis

from asgi_redis.connection import execute
from asgi_redis.connection.shard import Shard
from asgi_redis.connection.take import Take
from asgi_redis.engine import delayed
from asgi_redis.wire import ReceiveOperations, Taken
from asgi_redis.wire.memberships import Membership, MembershipOperations
from tests.support.resp import commands

lua54 = pytest.importorskip("lupa.lua54")


class Interpreter:
    """Runs scripts here; their commands go to ``connection``. ``ran`` are the names of those that it has run."""

    def __init__(self, connection):
        self.ran = set()
        self._connection = connection
        self._lua = lua54.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._lua.globals()[b"redis"] = self._lua.table_from(
            {b"call": self._call, b"pcall": self._pcall, b"replicate_commands": lambda: True}
        )

    def command(self, *arguments):
        self._connection.send_command(*arguments)
        return self._connection.read_response()

    def run(self, operation):
        """Returns what an operation's replies read as."""
        replies = []
        for arguments in commands(operation.packed):
            if arguments[0] == b"EVALSHA":
                self.ran.add(operation.script.name)
                number = int(arguments[2])
                replies.append(self._script(operation.script.text, arguments[3:][:number], arguments[3:][number:]))
            else:
                replies.append(self.command(*arguments))
        return operation.read(replies if operation.replies > 1 else replies[0])

    def _script(self, text, keys, arguments):
        function = self._lua.execute(b"return function(KEYS, ARGV) " + text + b"\nend")
        return self._reply(function(self._lua.table_from(keys), self._lua.table_from(arguments)))

    def _call(self, *arguments):
        assert all(type(argument) in (bytes, int) for argument in arguments), arguments
        return self._value(self.command(*arguments))

    def _pcall(self, *arguments):
        try:
            return self._call(*arguments)
        except redis.exceptions.ResponseError as error:
            return self._lua.table_from({b"err": str(error).encode()})

    def _value(self, reply):
        if isinstance(reply, list):
            return self._lua.table_from([self._value(one) for one in reply])
        return False if reply is None else reply

    def _reply(self, value):
        if lua54.lua_type(value) != "table":
            assert type(value) in (bytes, int), value
            return value
        if value[b"err"] is not None:
            raise redis.exceptions.ResponseError(value[b"err"].decode())
        return [self._reply(value[position]) for position in range(1, len(value) + 1)]


@pytest.fixture
def interpreter(redis_server, monkeypatch):
    def take(look, fail_fast):
        look.taken = interpreter.run(look.operation)
        return look.taken

    with redis.Redis(port=redis_server.port, protocol=2, single_connection_client=True) as client:
        interpreter = Interpreter(client.connection)
        monkeypatch.setattr(Shard, "execute", lambda shard, operation, *_, **__: interpreter.run(operation))
        monkeypatch.setattr(
            execute, "execute_on_shards", lambda requests: [shard.execute(operation) for shard, operation in requests]
        )
        monkeypatch.setattr(Take, "take", take)
        yield interpreter


@pytest.fixture
def layer(layer_for, redis_server, interpreter, monkeypatch):
    monkeypatch.setattr(delayed, "RETRY_SECONDS", 0)
    return layer_for(redis_server, capacity=3)


def test_sending_to_its_end_and_receiving(layer, interpreter, prefix):
    for number in range(3):
        layer.send("work", {"n": number})
    with pytest.raises(layer.ChannelFull):
        layer.send("work", {})
    batch = layer.receive_batch(["work", "other"], 10)
    assert batch == [("work", {"n": number}) for number in range(3)]
    taken = Taken(b"work", layer.serialize({"n": 3}), 0.0, b"9999999999.5")
    layer._shards[0].execute(ReceiveOperations(layer.plans.keys[0], 60).requeue(taken))
    layer.count("work", "messages_retried", 2)
    statistics = layer.channel_statistics("work")
    assert statistics.pop("messages_max_age") == 0
    assert statistics["messages_retried"] == layer.global_statistics()["messages_retried"] == 2
    assert (statistics["messages_count"], statistics["channel_full_count"], statistics["messages_pending"]) == (
        3,
        1,
        1,
    )
    assert layer.receive(["work"]) == ("work", {"n": 3})
    assert interpreter.ran >= {"send", "receive", "requeue", "add_counts", "channel_statistics"}


def test_messages_that_have_expired(layer, interpreter, prefix):
    for channel in ("one", "two", "three"):
        members = [item for number in range(5) for item in (str(number), f"m{number}")]
        interpreter.command("ZADD", f"{prefix}{channel}", *members)
    layer.send("one", {"n": 1})
    layer.group_add("chat", "two")
    assert layer.send_group("chat", {"n": 2}) == 0
    interpreter.command("ZADD", f"{prefix}three", "9999999999", layer.serialize({"n": 3}))
    received = [message["n"] for _, message in layer.receive_batch(["one", "two", "three"], 10)]
    assert sorted(received) == [1, 2, 3]


def test_groups(layer, interpreter, prefix):
    channels = ["a", "p!x", "p!y", "b"]
    for channel in channels:
        layer.group_add("chat", channel)
    interpreter.command("ZADD", f"{prefix}:group:chat", "1", "expired")
    assert sorted(layer.group_channels("chat")) == sorted(channels)
    assert [layer.send_group("chat", {}) for _ in range(4)] == [0, 0, 0, 4]
    assert layer.global_statistics()["messages_count"] == 9
    assert layer.global_statistics()["channel_full_count"] == 3
    assert interpreter.ran >= {"group_add", "group_expire", "send_group", "send_known_group"}


def test_delayed_messages(layer, interpreter):
    layer.delayed.send("later", {}, 1.5)
    for number in range(5):
        layer.delayed.send("work", {"n": number}, 0)
    received = []
    while len(received) < 5:
        layer.delayed.deliver()
        received += [message["n"] for _, message in layer.receive_batch(["work"], 10)]
    assert sorted(received) == list(range(5))
    layer.delayed.deliver()
    assert 0 < layer.delayed.deliver() <= 1.5
    assert interpreter.ran == {
        "store_delayed",
        "due_delayed",
        "deliver_delayed",
        "wait_delayed",
        "list_waiting",
        "receive",
    }


def test_memberships_that_are_renewed(layer, interpreter):
    operations = MembershipOperations(layer._keys[0], lambda: "process", 86400, 7.5)
    joined = [Membership("chat", f"p!{number}", number) for number in (1, 2)]
    for membership in joined:
        interpreter.run(operations.join(membership))
    assert interpreter.run(operations.look()) == (0, 2)
    interpreter.run(operations.begin(2, 1))
    layer.group_discard("chat", "p!1")
    assert interpreter.run(operations.renew(joined)) == joined[:1]
    assert interpreter.run(operations.end(2, 1)) is True
    assert layer.group_channels("chat") == ["p!2"]
    assert interpreter.ran >= {"join_group", "begin_round", "renew_memberships", "end_round"}
