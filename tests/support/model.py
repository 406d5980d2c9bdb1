"""
A model of a channel layer, for Hypothesis to compare a real one with.

The model knows what may happen, not what must: a message whose age was about ``expiry`` when it was looked for may
have been there or not.
"""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

CAPACITY = 3
LOCAL, GROUPS = "p.1f2e", ("chat", "news")
CHANNELS = ("a", "single?xyz", f"{LOCAL}!x", f"{LOCAL}!y")
NAMES = ("a", "single?xyz", f"{LOCAL}!")  # to receive from

channels, groups = st.sampled_from(CHANNELS), st.sampled_from(GROUPS)
contents = st.one_of(st.none(), st.integers(-5, 5), st.text(max_size=4), st.lists(st.booleans(), max_size=2))


class Span(NamedTuple):
    """When something happened: between these two times of ``time.monotonic``."""

    begin: float
    end: float


class Entry:
    """
    A message, the channels that it is still for, and when it was sent.

    Unless it is ``certain``, it may have been left out of a full channel. If it is ``held``, this process may have it
    already, behind a message that is for several channels.
    """

    held = False

    def __init__(self, message: dict[str, Any], channels: Iterable[str], sent: Span, certain: bool = True) -> None:
        self.certain = certain
        self.message = message
        self.channels = deque(channels)
        self.sent = sent


def queue_of(channel: str) -> str:
    before, mark, _ = channel.partition("!")
    return before + mark


class LayerMachine(RuleBasedStateMachine):
    """
    Calls a layer, which ``make_layer`` returns, and holds it to the model. To be subclassed.

    ``shares_entries``: one entry of a queue serves all members of a group that are in it. ``one_order``: normal
    channels are in one place, and so in one order.
    """

    expiry = 60.0
    shares_entries = True
    one_order = True
    crosses_processes = True
    most_forks = 8  # in one run: each takes as long as dozens of calls

    def make_layer(self) -> Any:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.layer = self.make_layer()
        self.number = self.forks = 0
        self.start()

    def start(self) -> None:
        self.queues: dict[str, deque[Entry]] = {name: deque() for name in NAMES}
        self.begun: dict[str, deque[Entry]] = {name: deque() for name in NAMES}  # taken for one of its channels
        self.members: dict[str, dict[str, None]] = {name: {} for name in GROUPS}
        self.delayed: list[tuple[str, dict[str, Any]]] = []

    def teardown(self) -> None:
        self.layer.flush()
        self.layer.close()

    # What the model knows

    def may_be_alive(self, entry: Entry, now: Span) -> bool:
        return now.begin - entry.sent.end <= self.expiry

    def is_alive(self, entry: Entry, now: Span) -> bool:
        return entry.certain and now.end - entry.sent.begin < self.expiry - 0.01

    def pending(self, queue: str, now: Span, surely: bool) -> int:
        test = self.is_alive if surely else self.may_be_alive
        return sum(test(entry, now) for entry in self.queues[queue] if not (surely and entry.held))

    def message(self, content: Any) -> dict[str, Any]:
        self.number += 1
        return {"number": self.number, "content": content}

    def took(self, queue: str, channel: str, message: Any, now: Span) -> None:
        """Holds a message that was received to what it may be: the next one of its channel, and of its queue."""
        for entry in [entry for entry in self.begun[queue] if channel in entry.channels]:
            if entry.message == message:
                self.took_of(entry, queue, channel, now)
                return
            assert not self.is_alive(entry, now), f"{channel} has {message} before {entry.message}"
            self.begun[queue].remove(entry)
        waiting = self.queues[queue]
        entry = next((entry for entry in waiting if entry.message == message and channel in entry.channels), None)
        assert entry is not None, f"{channel} has a message that was not sent, or was received before: {message}"
        if self.one_order or "!" in queue or "?" in queue:
            # In which order the members of a group get its message is not said.
            while waiting[0] is not entry and waiting[0].message != message:
                assert not self.is_alive(waiting[0], now), f"{message} came before {waiting[0].message}"
                waiting.popleft()
        waiting.remove(entry)
        self.begun[queue].append(entry)
        self.took_of(entry, queue, channel, now)

    def took_of(self, entry: Entry, queue: str, channel: str, now: Span) -> None:
        assert self.may_be_alive(entry, now), f"{channel}: expired {now.begin - entry.sent.end - self.expiry:g} s ago"
        entry.channels.remove(channel)
        if not entry.channels:
            self.begun[queue].remove(entry)

    # What is done

    @rule(channel=channels, content=contents)
    def send(self, channel: str, content: Any) -> None:
        message = self.message(content)
        before = time.monotonic()
        sent = self._send(channel, message)
        self.was_sent(channel, message, sent, Span(before, time.monotonic()))

    def _send(self, channel: str, message: dict[str, Any]) -> bool:
        try:
            self.layer.send(channel, dict(message))
        except self.layer.ChannelFull:
            return False
        return True

    def was_sent(self, channel: str, message: dict[str, Any], sent: bool, now: Span) -> None:
        queue = queue_of(channel)
        if sent:
            assert self.pending(queue, now, surely=True) < CAPACITY, f"{channel} holds more than its capacity"
            self.queues[queue].append(Entry(message, [channel], now))
        else:
            assert self.pending(queue, now, surely=False) >= CAPACITY, f"{channel} was not full"

    @rule(group=groups, content=contents, exclude=st.sets(channels))
    def send_group(self, group: str, content: Any, exclude: set[str]) -> None:
        message = self.message(content)
        before = time.monotonic()
        dropped = self.layer.send_group(group, dict(message), exclude)
        now = Span(before, time.monotonic())
        least = most = 0
        by_queue: dict[str, list[str]] = {}
        for name in self.members[group]:
            if name not in exclude:
                by_queue.setdefault(queue_of(name), []).append(name)
        for queue, names in by_queue.items():
            entries = [names] if self.shares_entries else [[name] for name in names]
            # Which of the members get the last room is not said.
            sure_room = min(len(entries), max(0, CAPACITY - self.pending(queue, now, surely=False)))
            room = min(len(entries), max(0, CAPACITY - self.pending(queue, now, surely=True)))
            least += (len(entries) - room) * len(entries[0])
            most += (len(entries) - sure_room) * len(entries[0])
            if room:
                certain = sure_room == len(entries)
                self.queues[queue].extend(Entry(message, some, now, certain) for some in entries)
        assert least <= dropped <= most

    @rule(group=groups, channel=channels)
    def group_add(self, group: str, channel: str) -> None:
        self.layer.group_add(group, channel)
        self.members[group].pop(channel, None)  # a membership that is renewed is the youngest
        self.members[group][channel] = None

    @rule()
    def everybody_joins(self) -> None:
        for channel in CHANNELS:
            self.group_add("chat", channel)

    @rule(group=groups, channel=channels)
    def group_discard(self, group: str, channel: str) -> None:
        self.layer.group_discard(group, channel)
        self.members[group].pop(channel, None)

    @rule(group=groups)
    def group_channels(self, group: str) -> None:
        assert sorted(self.layer.group_channels(group)) == sorted(self.members[group])
        assert self.layer.group_count(group) == len(self.members[group])

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), limit=st.integers(1, 5))
    def receive_batch(self, names: list[str], limit: int) -> None:
        before = time.monotonic()
        received = self.layer.receive_batch(names, limit)
        now = Span(before, time.monotonic())
        assert len(received) <= limit
        for channel, message in received:
            assert queue_of(channel) in names
            self.took(queue_of(channel), channel, message, now)
        if not received:
            self.found_nothing(names, now)
        elif self.shares_entries:
            for entry in self.queues[f"{LOCAL}!"]:
                entry.held = True

    def found_nothing(self, names: Iterable[str], now: Span) -> None:
        for name in names:
            left = [entry.message for entry in (*self.begun[name], *self.queues[name]) if self.is_alive(entry, now)]
            assert not left, f"{name} has {left}, and nothing was received"
            self.begun[name].clear()
            self.queues[name].clear()

    @rule(name=st.sampled_from(NAMES), block=st.booleans())
    def receive(self, name: str, block: bool) -> None:
        before = time.monotonic()
        self.layer.block_timeout = 0.02
        channel, message = self.layer.receive([name], block=block)
        now = Span(before, time.monotonic())
        if channel is None:
            assert message is None
            self.found_nothing([name], Span(now.begin, now.begin) if self.expiry == 60 else now)
        else:
            self.took(name, channel, message, now)

    @rule()
    def flush(self) -> None:
        self.layer.flush()
        self.start()

    @invariant()
    def what_waits_is_counted(self) -> None:
        if self.number % 4 == 0 and self.expiry == 60:
            for name in CHANNELS:
                pending = self.layer.channel_statistics(name)["messages_pending"]
                waiting = self.queues[queue_of(name)]
                assert sum(entry.certain and not entry.held for entry in waiting) <= pending <= len(waiting)

    # Processes

    @precondition(lambda self: self.crosses_processes and self.forks < self.most_forks)
    @rule(channel=channels, name=st.sampled_from([name for name in NAMES if "!" not in name]), content=contents)
    def in_a_forked_process(self, channel: str, name: str, content: Any) -> None:
        """A child sends one message and receives another."""
        self.forks += 1
        message = self.message(content)
        sent, (received, got), now = self._forked(channel, message, name)
        self.was_sent(channel, message, sent, now)
        if received is not None:
            self.took(name, received, got, now)
        else:
            self.found_nothing([name], now)

    def _forked(self, channel: str, message: dict[str, Any], name: str) -> tuple[bool, Any, Span]:
        before = time.monotonic()
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, where there are other threads
            child = os.fork()
        if child == 0:
            signal.alarm(20)  # nothing else would end it
            try:
                sent = self._send(channel, message)
                os.write(writing, json.dumps([sent, self.layer.receive([name])]).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            sent, received = json.loads(pipe.read())
        os.waitpid(child, 0)
        return sent, received, Span(before, time.monotonic())


class DelayingMachine(LayerMachine):
    """The same with delayed messages, for layers over Redis."""

    @rule(channel=channels, content=contents)
    def delay(self, channel: str, content: Any) -> None:
        if not self.one_order and channel == "a":
            return  # it waits until its shard has room, whatever room others have
        message = self.message(content)
        self.layer.delayed.send(channel, message, 0)
        self.delayed.append((channel, message))

    @precondition(lambda self: self.delayed and self._all_fit())
    @rule()
    def deliver(self) -> None:
        before = time.monotonic()
        while self.layer.delayed.deliver() == 0:
            pass
        now = Span(before, time.monotonic())
        for channel, message in self.delayed:
            self.queues[queue_of(channel)].append(Entry(message, [channel], now))
        self.delayed.clear()

    def _all_fit(self) -> bool:
        coming = [queue_of(channel) for channel, _ in self.delayed]
        return all(len(self.queues[name]) + coming.count(name) <= CAPACITY for name in coming)


class ExpiringMachine(LayerMachine):
    """Messages that expire while the machine runs."""

    expiry = 0.15

    @rule(seconds=st.sampled_from((0.05, 0.1, 0.16)))
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)  # the passing of time is what is tested
