"""Layers with one fault each, and the test of the suite that finds it. ``test_conformance_suite`` runs them."""

from __future__ import annotations

import math
import time
from collections import Counter

import pytest

from asgi_redis import ChannelFull, InMemoryChannelLayer
from asgi_redis.conformance import ChannelLayerConformance


class Sound(InMemoryChannelLayer):
    """Has none of the faults."""


class LastInFirstOut(InMemoryChannelLayer):
    def receive_batch(self, channels, limit, timeout=0):
        taken = super().receive_batch(channels, 10_000, timeout)
        for channel, message in taken[:-1]:
            self.send(channel, message)
        return taken[-1:]


class KeepsTheSendersDict(InMemoryChannelLayer):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.held = []

    def send(self, channel, message):
        self.held.append(message)
        super().send(channel, {"held": len(self.held) - 1})

    def receive_batch(self, channels, limit, timeout=0):
        received = super().receive_batch(channels, limit, timeout)
        return [(channel, self.held[message["held"]]) for channel, message in received]


class CountsExpiredMessages(InMemoryChannelLayer):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.counts = Counter()

    def send(self, channel, message):
        if self.counts[channel] == self.capacity:
            raise ChannelFull(channel)
        super().send(channel, message)
        self.counts[channel] += 1

    def receive_batch(self, channels, limit, timeout=0):
        received = super().receive_batch(channels, limit, timeout)
        self.counts.subtract(channel for channel, _ in received)
        return received


class TakesOneTooMany(InMemoryChannelLayer):
    def get_capacity(self, channel):
        return super().get_capacity(channel) + 1


class ExpiresAfterWholeSeconds(InMemoryChannelLayer):
    def __init__(self, *, expiry=60, **settings):
        super().__init__(expiry=math.ceil(expiry), **settings)


class ServesTheFirstChannelFirst(InMemoryChannelLayer):
    def receive_batch(self, channels, limit, timeout=0):
        for channel in channels:
            received = super().receive_batch([channel], limit)
            if received:
                return received
        return super().receive_batch(channels, limit, timeout)


class WaitsForOneChannelAfterTheOther(InMemoryChannelLayer):
    block_timeout = 0.6

    def receive_batch(self, channels, limit, timeout=0):
        for channel in channels:
            received = super().receive_batch([channel], limit, timeout / len(channels))
            if received:
                return received
        return []


class LooksAgainAndAgain(InMemoryChannelLayer):
    pause = 0.2

    def receive_batch(self, channels, limit, timeout=0):
        deadline = time.monotonic() + timeout
        while True:
            received = super().receive_batch(channels, limit)
            if received or time.monotonic() >= deadline:
                return received
            time.sleep(self.pause)


class LooksWithoutPause(LooksAgainAndAgain):
    pause = 0


class HandsOutSomeTwice(InMemoryChannelLayer):
    def receive_batch(self, channels, limit, timeout=0):
        received = super().receive_batch(channels, limit, timeout)
        for channel, message in received:
            if type(message["n"]) is int and message["n"] == 7:
                self.send(channel, {"n": 7.0})
        return received


class LosesSome(InMemoryChannelLayer):
    def send(self, channel, message):
        if message["n"] != 7:
            super().send(channel, message)


class LosesTheLocalPart(InMemoryChannelLayer):
    def receive_batch(self, channels, limit, timeout=0):
        return [(self.non_local_name(name), message) for name, message in super().receive_batch(channels, limit)]


class KeepsMembersForEver(InMemoryChannelLayer):
    def __init__(self, *, group_expiry=86400, **settings):
        super().__init__(group_expiry=100 * group_expiry, **settings)


class ForgetsWhatItDropped(InMemoryChannelLayer):
    def send_group(self, group, message):
        super().send_group(group, message)
        return 0


class IgnoresUnblock(InMemoryChannelLayer):
    def unblock(self):
        pass


class SharesWithItsChildren(InMemoryChannelLayer):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.store.start_process = lambda: None


class TakesWhatItPeeks(InMemoryChannelLayer):
    def __init__(self, **settings):
        super().__init__(**settings)
        peek, purge = self.inspector.peek, self.inspector.purge
        self.inspector.peek = lambda channel, limit, content=False: (peek(channel, limit, content), purge(channel))[0]


class CountsForAllOnly(InMemoryChannelLayer):
    def count(self, channel, counter, number=1):
        super().count(None, counter, number)


class RepeatsItsRequests(InMemoryChannelLayer):
    def __init__(self, **settings):
        super().__init__(**settings)
        report, ask = self.registry.report, self.registry.ask

        def report_and_ask_again(process, fields):
            request = report(process, fields)
            if request:
                ask(process, request)
            return request

        self.registry.report = report_and_ask_again


FOUND_BY = {
    Sound: "test_first_in_first_out",
    LastInFirstOut: "test_first_in_first_out",
    KeepsTheSendersDict: "test_sending_neither_changes_nor_keeps_the_senders_object",
    CountsExpiredMessages: "test_expired_messages_do_not_count",
    TakesOneTooMany: "test_a_channel_takes_exactly_its_capacity",
    ExpiresAfterWholeSeconds: "test_a_message_is_there_until_it_expires_and_then_gone",
    ServesTheFirstChannelFirst: "test_a_busy_channel_does_not_starve_a_quiet_one",
    WaitsForOneChannelAfterTheOther: "test_a_message_wakes_its_receiver_at_once",
    LooksAgainAndAgain: "test_a_message_wakes_its_receiver_at_once",
    LooksWithoutPause: "test_waiting_costs_no_time_of_the_processor",
    HandsOutSomeTwice: "test_nothing_is_lost_and_nothing_is_doubled",
    LosesSome: "test_nothing_is_lost_and_nothing_is_doubled",
    LosesTheLocalPart: "test_a_process_local_prefix_receives_for_all_names_under_it",
    KeepsMembersForEver: "test_a_membership_expires_unless_it_is_renewed",
    ForgetsWhatItDropped: "test_a_group_send_never_raises_and_returns_how_many_were_full",
    IgnoresUnblock: "test_unblock_ends_all_waits",
    TakesWhatItPeeks: "test_peek_shows_the_first_messages_and_takes_none",
    CountsForAllOnly: "test_what_is_counted_is_in_the_statistics_of_the_channel_and_of_all",
    RepeatsItsRequests: "test_a_request_is_handed_out_by_the_next_report_alone",
    SharesWithItsChildren: "test_a_child_that_shares_no_messages_has_an_empty_layer_that_works",
}


class TestBroken(ChannelLayerConformance):
    crosses_processes = False

    @pytest.fixture(params=FOUND_BY, ids=lambda layer_class: layer_class.__name__)
    def make_layer(self, request):
        if request.function.__name__ != FOUND_BY[request.param]:
            pytest.skip("another test finds this fault")
        return request.param
