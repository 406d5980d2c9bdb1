"""A fleet of processes with one of two packages each, on one Redis; what they send, and what arrives."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from asgi_redis import RedisChannelLayer
from tests.support.mixed.member import LOOPS, messages, start_member

Sent = tuple[str, str]  # the channel, and the message's id


class Fleet:
    """
    Members of the given kinds; ``normal`` says for each normal channel which of them, by their index, read it.
    Without ``to_all`` they send to the normal channels only.

    ``run`` lets each send to everybody and returns what arrived where, ``expected`` is what should have.
    """

    def __init__(
        self, kinds: Sequence[str], normal: dict[str, Sequence[int]], rounds: int, *, to_all: bool = True
    ) -> None:
        self._to_all = to_all
        self._kinds = kinds
        self._normal = normal
        self._plans = [
            {
                "name": f"{index}-{kind}",
                "rounds": rounds,
                "normal": list(normal),
                "reads": [channel for channel, readers in normal.items() if index in readers],
            }
            for index, kind in enumerate(kinds)
        ]
        self._locals: list[str] = []

    def run(self, url: str, prefix: str, **settings: Any) -> Counter[Sent]:
        # channels_redis lets Redis wait 5 s for a message, after which redis-py 8 by default gives up on the reply.
        host = {"address": url, "socket_timeout": 30}
        # Enough room and time: some members send faster than others receive.
        settings = {"hosts": [host], "prefix": prefix, "capacity": 1_000_000, "expiry": 3600, **settings}
        with contextlib.ExitStack() as stack:
            layer = stack.enter_context(RedisChannelLayer(**settings))
            members = []
            for kind, plan in zip(self._kinds, self._plans):
                members.append(stack.enter_context(start_member(kind, settings, plan)))
                stack.callback(members[-1].kill)
            self._locals = [name for member in members for name in json.loads(_line(member))]
            for member in members:
                member.stdin.write(json.dumps(self._targets) + "\n")
                member.stdin.flush()
            for member in members:
                assert _line(member) == "sent\n"
            layer.send_group("fleet", {"stop": True})
            for channel, readers in self._normal.items():
                for _ in readers:
                    layer.send(channel, {"stop": True})
            outputs = [member.communicate(timeout=30)[0] for member in members]
        return Counter((channel, sent) for output in outputs for channel, sent in json.loads(output))

    @property
    def expected(self) -> Counter[Sent]:
        """Each message once: those to the group in each process-local channel, the others in their channel."""
        every: Counter[Sent] = Counter()
        for plan in self._plans:
            for loop in range(LOOPS):
                for call, target, message in messages(plan, loop, self._targets):
                    channels = self._locals if call == "group_send" else [target]
                    every.update((channel, message["id"]) for channel in channels)
        return every

    @property
    def _targets(self) -> list[str]:
        return self._locals if self._to_all else []


def _line(member: Any) -> str:
    line: str = member.stdout.readline()
    assert line, "a member of the fleet has ended"
    return line
