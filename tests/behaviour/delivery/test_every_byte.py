"""
The line is cut, or stalls, after any number of bytes of a conversation, in either direction.

Nothing is doubled; what was not sent as a whole has not happened; an error comes only where it is due; and the
connection that is used next is in step.
"""

from __future__ import annotations

import asyncio

import pytest
import redis

from asgi_redis import aio

STEP = 23  # bytes, in the suite; a prime, to meet other places in each conversation
STALL = 0.002  # seconds
LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


class Conversation:
    """A call through a proxy; ``there`` is how many messages it leaves or takes, told by another connection."""

    takes = False

    def __init__(self, layer_for, proxy, server, other_server):
        self.layer = layer_for(proxy.url)
        self.direct = layer_for(server)
        self.begin()

    def begin(self):
        """Once, to connect and to have the scripts known."""
        self.prepare()
        self.call()
        self.drain()

    def prepare(self):
        """Before each call."""

    def drain(self):
        return [content["n"] for _, content in self.direct.receive_batch(["work"], 10)]

    def count(self):
        """How often something was put into the queue: the same bytes twice are one entry there."""
        return self.direct.channel_statistics("work")["messages_count"]

    def in_step(self):
        self.layer.send("step", {"n": "a"})
        self.layer.send("step", {"n": "b"})
        return [self.layer.receive(["step"])[1]["n"] for _ in range(2)] == ["a", "b"]


class Send(Conversation):
    def call(self):
        self.layer.send("work", {"n": 1})


class AioSend(Conversation):
    def begin(self):
        self.facade = aio.RedisChannelLayer(
            hosts=self.layer.hosts, prefix=self.layer.prefix, stats_prefix=self.layer.stats_prefix
        )
        self.loop = asyncio.new_event_loop()
        super().begin()

    def call(self):
        self.loop.run_until_complete(self.facade.send("work", {"n": 1}))

    def in_step(self):
        async def exchange():
            for name in "ab":
                await self.facade.send("step", {"n": name})

        self.loop.run_until_complete(exchange())
        return [self.direct.receive(["step"])[1]["n"] for _ in range(2)] == ["a", "b"]

    def close(self):
        self.loop.run_until_complete(self.facade.close())
        self.loop.close()


class Receive(Conversation):
    takes = True

    def prepare(self):
        self.direct.send("work", {"n": 1})

    def call(self):
        return self.layer.receive(["work", "other"])


class Wait(Receive):
    def call(self):
        return self.layer.receive(["work", "other"], block=True)


class GroupSend(Conversation):
    def __init__(self, layer_for, proxy, server, other_server):
        self.layer = layer_for(proxy.url, other_server)
        self.direct = layer_for(server, other_server)
        for channel in ("one.a!x", "two.a!x", "three.a!x", "four.a!x", "work"):
            self.direct.group_add("chat", channel)
        self.begin()

    def call(self):
        self.layer.send_group("chat", {"n": 1})

    def in_step(self):
        # Its two shards take turns.
        for name in "ab":
            self.layer.send("step", {"n": name})
        return sorted(self.layer.receive(["step"])[1]["n"] for _ in range(2)) == ["a", "b"]

    def drain(self):
        per_channel = [
            [content["n"] for _, content in self.direct.receive_batch([name], 10)]
            for name in ("one.a!", "two.a!", "three.a!", "four.a!", "work")
        ]
        assert all(len(messages) <= 1 for messages in per_channel), "doubled"
        return max(per_channel, key=len) if all(per_channel) else []


class DelayedSend(Conversation):
    def call(self):
        self.layer.delayed.send("work", {"n": 1}, 0)

    def drain(self):
        self.direct.delayed.deliver()
        return super().drain()


class Deliver(DelayedSend):
    """It moves what is there already: to be sent once, by whichever delivery."""

    def prepare(self):
        self.direct.delayed.send("work", {"n": 1}, 0)

    def call(self):
        self.layer.delayed.deliver()


CONVERSATIONS = [Send, AioSend, Receive, Wait, GroupSend, DelayedSend, Deliver]


@pytest.fixture
def conversation(request, layer_for, proxy, redis_server, three_redis_servers):
    made = request.param(layer_for, proxy, redis_server, three_redis_servers[0])
    yield made
    if hasattr(made, "close"):
        made.close()


def lengths(conversation, proxy):
    """How many bytes it takes in either direction."""
    conversation.prepare()
    proxy.reset_counters()
    conversation.call()
    found = {"requests": proxy.bytes_to_server, "replies": proxy.bytes_to_client}
    conversation.drain()
    return found


def try_at(conversation, proxy, direction, length, fault):
    conversation.prepare()
    counted = conversation.count()
    if fault == "cut":
        proxy.cut_after(direction, length)
    else:
        proxy.stall_after(direction, length, STALL)
    failed, taken = False, None
    try:
        taken = conversation.call()
    except LOST:
        failed = True
    met = not proxy.armed
    proxy.disarm()
    if fault == "stall" or not met:
        assert not failed, "an error that is not due"
    left = conversation.drain()
    assert len(left) <= 1, "doubled"
    assert conversation.count() - counted <= (0 if conversation.takes else 1), "sent twice"
    if conversation.takes:
        got = [] if taken is None or taken[0] is None else [taken[1]["n"]]
        assert len(got + left) <= 1, "handed out and still there"
        if not failed:
            assert got == [1]
        elif direction == "requests":
            assert left == [1], "what Redis has not read has not happened"
    elif isinstance(conversation, Deliver):
        assert left == [1], "lost"
    elif not failed:
        assert left == [1], "said to be sent"
    elif direction == "requests" and type(conversation) is not GroupSend:
        assert left == [], "what Redis has not read has not happened"
    assert conversation.in_step(), "out of step"


def try_all(conversation, proxy, step):
    total = lengths(conversation, proxy)
    for fault in ("cut", "stall"):
        for direction, number in total.items():
            for length in range(0, number, step if fault == "cut" else 2 * step):
                try_at(conversation, proxy, direction, length, fault)


@pytest.mark.parametrize("conversation", CONVERSATIONS, indirect=True)
def test_at_some_of_the_bytes(conversation, proxy):
    try_all(conversation, proxy, STEP)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("conversation", CONVERSATIONS, indirect=True)
def test_at_every_byte(conversation, proxy):
    try_all(conversation, proxy, 1)
