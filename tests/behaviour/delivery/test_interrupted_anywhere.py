"""An exception before each instruction of a receive: each message comes in this call or a later one, once."""

from __future__ import annotations

import contextlib
import gc

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.connection import exchange
from asgi_redis.engine.receiver import Receiver
from tests.support.interrupting import Interrupter, Interruption
from tests.support.threads import in_threads

pytestmark = pytest.mark.native("an exception in gevent's hub ends there")

# The last instruction of this hands the messages over: what comes after it comes to the caller.
UNTIL = Receiver.receive.__code__


class Scene:
    """``send`` puts messages there, ``receive`` is the call to be interrupted."""

    shards = 1
    options = {}

    def __init__(self, layer):
        self.layer = layer
        self.channels = ["work"]

    def send(self):
        for number in range(3):
            self.layer.send("work", {"n": number})
        return [("work", number) for number in range(3)]

    def send_afterwards(self):
        return []

    def receive(self):
        raise NotImplementedError


class Looking(Scene):
    def receive(self):
        return [self.layer.receive(self.channels)]


class Waiting(Scene):
    def receive(self):
        return [self.layer.receive(self.channels, block=True)]


class WaitingInRESP3(Waiting):
    options = {"connection_kwargs": {"protocol": 3}, "symmetric_encryption_keys": ["key"]}


class WaitingInVain(Scene):
    """What a pop that was left behind takes is missed by the next receive."""

    def send(self):
        return []

    def send_afterwards(self):
        return super().send()

    def receive(self):
        return self.layer.receive_batch(self.channels, 1, 0.005)


class Batch(Scene):
    def receive(self):
        return self.layer.receive_batch(self.channels, 2, 1)


class BatchOfShards(Batch):
    shards = 3


class WaitingOnShards(Waiting):
    shards = 3


class Group(Scene):
    """One entry of the queue is for three channels, and the one behind it for one of them."""

    def __init__(self, layer):
        super().__init__(layer)
        self.queue = f"specific.{layer.client_prefix}!"
        self.channels = [self.queue]
        self.members = [f"{self.queue}{number}" for number in range(3)]
        for member in self.members:
            layer.group_add("group", member)

    def send(self):
        self.layer.send_group("group", {"n": 0})
        self.layer.send(self.members[0], {"n": 1})
        return [(member, 0) for member in self.members] + [(self.members[0], 1)]

    def receive(self):
        return self.layer.receive_batch(self.channels, 2)


class WaitingForGroup(Group):
    def receive(self):
        return [self.layer.receive(self.channels, block=True)]


SCENES = [
    Looking,
    Waiting,
    WaitingInVain,
    WaitingInRESP3,
    Batch,
    BatchOfShards,
    WaitingOnShards,
    Group,
    WaitingForGroup,
]


@pytest.fixture
def scene(request, three_redis_servers, prefix):
    kind = request.param
    urls = [server.url for server in three_redis_servers[: kind.shards]]
    with contextlib.closing(RedisChannelLayer(hosts=urls, prefix=prefix, **kind.options)) as layer:
        layer.block_timeout = 1
        yield kind(layer)


def found(batch):
    return [(channel, message["n"]) for channel, message in batch if channel is not None]


def all_that_is_left(scene):
    left = []
    while batch := found(scene.layer.receive_batch(scene.channels, 100)):
        left += batch
    return left


def instructions(scene):
    """Returns how many there are in a receive that goes well, when all is warm: the first ones import and connect."""

    def seen():
        scene.send()
        interrupter = Interrupter(None, UNTIL)
        interrupter(scene.receive)
        all_that_is_left(scene)
        return interrupter.seen

    return min(seen() for _ in range(5))


def interrupt(scene, nth):
    """
    Interrupts a receive before its instruction number ``nth``, and checks what comes of its messages.

    Returns whether it was interrupted.
    """
    sent = scene.send()
    interrupter, received = Interrupter(nth, UNTIL), []
    try:
        received = found(interrupter(scene.receive))
    except Interruption:
        hands_over = interrupter.code is UNTIL and interrupter.opname == "RETURN_VALUE"
    else:
        assert interrupter.here is None, f"swallowed: {interrupter.here}"
        hands_over = False
    sent += scene.send_afterwards()
    received += all_that_is_left(scene)
    if hands_over:
        assert set(received) <= set(sent)
    else:
        assert sorted(received) == sorted(sent), interrupter.here
    return interrupter.here is not None


def interrupt_everywhere(scene, part):
    """
    Interrupts a receive before each of its instructions, or one in ``part``.

    In a thread, which takes with it what CPython leaves behind: an exception that comes as another is handled may
    leave that one being handled for good, for all the tests that follow.
    """

    def run(_):
        end = instructions(scene) + part
        gc.disable()  # a destructor is no place for it
        try:
            interrupted = [interrupt(scene, nth) for nth in range(1, end, part)]
        finally:
            gc.enable()
        assert sum(interrupted) > len(interrupted) / 2

    in_threads(run, [None])


@pytest.mark.parametrize("scene", SCENES, indirect=True, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("part", [pytest.param(1, marks=pytest.mark.soak, id="all"), pytest.param(29, id="some")])
def test_no_message_is_lost_nor_comes_twice(scene, part):
    interrupt_everywhere(scene, part)


@pytest.mark.parametrize("scene", [Waiting], indirect=True)
@pytest.mark.parametrize("part", [pytest.param(1, marks=pytest.mark.soak, id="all"), pytest.param(41, id="some")])
def test_nor_without_hiredis(scene, part, monkeypatch):
    monkeypatch.setattr(exchange, "hiredis", None)
    for nth in range(1, instructions(scene) + part, part):
        interrupt(scene, nth)
