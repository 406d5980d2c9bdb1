"""Sending to a channel: the shards to try, and the requests to make."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import RedisError

from asgi_redis.connection import Plan, Shard, is_unsent
from asgi_redis.engine.codec import MessageEncoder
from asgi_redis.engine.rules import CallRules
from asgi_redis.exceptions import ChannelFull
from asgi_redis.wire import Keys, SendOperations, Witness
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import queue_of, shares

_NAMES = 1024  # the latest ones
_LATE_SECONDS = 10.0  # that a request may be on its way; half of expiry where that is less


class _Route(NamedTuple):
    """One shard of a channel. ``last_head`` and ``last_middle`` also count a refusal."""

    shard: Shard
    operations: SendOperations
    head: bytes
    last_head: bytes
    middle: bytes
    last_middle: bytes


class OnceSend:
    """
    A message that may be sent again after an error: it arrives once at most.

    Where a reply was lost, the next attempts ask the same shard, which knows by the ``witness`` whether the message
    was sent, and no other shard: the request may still arrive. The witness lasts ``expiry`` seconds; an attempt that
    might come later is refused. A request that has certainly not been sent counts for nothing.
    """

    def __init__(self, routes: list[_Route], witness: Witness, entry: bytes, expiry: float) -> None:
        self._routes = routes
        self._witness = witness
        self._entry = entry
        self._repeatable_seconds = expiry - min(_LATE_SECONDS, expiry / 2)
        self._repeatable_until: float | None = None  # since a request without a reply

    def attempt(self) -> Plan[bool]:
        """
        Return whether the message was sent, now or before; False: all shards are full.

        Raises ``RedisError`` where it is too late to ask.
        """
        routes = self._routes
        if self._repeatable_until is not None:
            del routes[1:]
        for left in reversed(range(len(routes))):
            route = routes[0]
            middle = route.middle if left else route.last_middle
            is_first = self._repeatable_until is None
            self._check_time()
            try:
                sent = yield [(route.shard, route.operations.send_once(middle, self._witness, self._entry))]
            except RedisError as error:
                if is_first and is_unsent(error):
                    self._repeatable_until = None
                    routes.append(routes.pop(0))
                raise
            if sent[0]:
                return True
            self._repeatable_until = None
            routes.append(routes.pop(0))
        return False

    def _check_time(self) -> None:
        now = time.monotonic()
        if self._repeatable_until is None:
            self._repeatable_until = now + self._repeatable_seconds
        elif now > self._repeatable_until:
            raise RedisError("too late to send the message again: it may have been sent, which can no longer be told")


class Sender:
    """Sends the messages of one layer to channels."""

    def __init__(
        self, shards: Sequence[Shard], keys: Sequence[Keys], encoder: MessageEncoder, rules: CallRules
    ) -> None:
        self._shards = [(shard, SendOperations(of_shard, rules.expiry)) for shard, of_shard in zip(shards, keys)]
        self._encode = encoder.encode_for
        self._rules = rules
        self._turns = itertools.count()
        self._routes = functools.lru_cache(maxsize=_NAMES if rules.keeps_capacities else 0)(self._find_routes)
        # Of the many process-local channels of one process, which come once each, only the queue comes again.
        self._routes_to = functools.lru_cache(maxsize=_NAMES)(self._make_routes)

    def send(self, channel: str, message: Message) -> Plan[None]:
        """Send a message to a channel. Raises ``ChannelFull``."""
        rules = self._rules
        if not isinstance(channel, str):
            rules.valid_channel_name(channel)
        rules.check_message(message)
        routes = self._routes(channel)
        entry = self._encode(channel, message)
        if len(routes) > 1:
            turn = next(self._turns) % len(routes)
            routes = [*routes[turn:], *routes[:turn]]
        last = routes[-1]
        for route in routes:
            head = route.last_head if route is last else route.head
            sent = yield [(route.shard, SendOperations.send(head, entry))]
            if sent[0]:
                return
        raise self.full(channel)

    def full(self, channel: str) -> ChannelFull:
        """Return the error of a send to a full channel."""
        rules = self._rules
        return rules.ChannelFull(f"channel {channel} holds {rules.get_capacity(channel)} messages, its capacity")

    def once(self, channel: str, message: Message, witness: Witness) -> OnceSend:
        """Return a send that may be repeated."""
        routes = self._routes(channel)
        turn = next(self._turns) % len(routes) if len(routes) > 1 else 0
        entry = self._encode(channel, message)
        return OnceSend([*routes[turn:], *routes[:turn]], witness, entry, self._rules.expiry)

    def _find_routes(self, channel: str) -> list[_Route]:
        self._rules.valid_channel_name(channel)
        return self._routes_to(queue_of(channel), self._rules.get_capacity(channel))

    def _make_routes(self, name: str, capacity: int) -> list[_Route]:
        queue = name.encode()
        routes = []
        for number, part in shares(name, capacity, len(self._shards)).items():
            shard, operations = self._shards[number]
            heads = [operations.send_head(queue, part, count_full) for count_full in (False, True)]
            middles = [operations.once_middle(queue, part, count_full) for count_full in (False, True)]
            routes.append(_Route(shard, operations, *heads, *middles))
        return routes
