"""The parts: what grows, in which steps, and what is measured at each step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from . import channels, groups, waiting
from .bench import Bench

Figure = Callable[[Bench, int], None]


class Part(NamedTuple):
    """Some figures of the same ``steps``; ``quick`` are those of ``--quick``."""

    title: str
    unit: str
    steps: tuple[int, ...]
    quick: tuple[int, ...]
    figures: Mapping[str, Figure]
    each_is_server: bool = False


def _of_members(form: str) -> dict[str, Figure]:
    figures = {
        "join; a call": groups.join,
        "list members; a member": groups.list_members,
        "send; a member": groups.send,
        "send to new members; a member": groups.send_to_new_members,
    }
    if form == groups.ONE:
        figures["receive, by each in turn; a member"] = groups.hand_out
    return {name: functools.partial(figure, form=form) for name, figure in figures.items()}


_MEMBERS = (1, 1_000, 100_000, 200_000)
_WAITING = (1, 100, 2_000)

PARTS = (
    Part(
        "Backlog",
        "messages waiting",
        (10, 1_000, 1_000_000),
        (10, 1_000),
        {
            "send; a message": channels.send,
            "receive; a message": channels.receive,
            "receive with block; a message": channels.receive_blocking,
            "receive_batch of 100; a message": channels.batch,
            "channel_statistics; a call": channels.statistics,
            "delayed messages, sent and delivered; a message": channels.deliver_delayed,
        },
    ),
    Part(
        "Channels of one receive",
        "channels",
        (1, 100, 20_000),
        (1, 100),
        {
            "all empty; a channel": channels.look,
            "all empty, new names each time; a channel": channels.look_at_new,
            "one has a message; a channel": channels.look_and_find,
            "waits, then gets one; a channel": channels.wait,
        },
    ),
    Part("Groups of as many processes", "members", _MEMBERS, (1, 100), _of_members(groups.OWN)),
    Part("Groups of one process", "members", _MEMBERS, (1, 100), _of_members(groups.ONE)),
    Part(
        "Many groups in turn",
        "groups",
        (100, 1_000, 10_000),
        (10, 100),
        {
            "join each; a group": groups.join_groups,
            "send to each; a group": groups.send_to_groups,
            "aio: join, send, receive, leave; a group": groups.join_and_send_async,
        },
    ),
    Part(
        "Waiting threads and coroutines",
        "waiting",
        _WAITING,
        (1, 20),
        {
            "threads, a message to each; a message": waiting.each_thread,
            "send and receive beside threads; a message": waiting.send_beside_threads,
            "coroutines, own channels; a message": waiting.coroutines_own,
            "coroutines, normal channels; a message": waiting.coroutines_normal,
            "coroutines, one group; a coroutine": waiting.coroutines_group,
            "coroutines, pub-sub; a message": waiting.coroutines_pubsub,
            "coroutines, pub-sub group; a coroutine": waiting.coroutines_pubsub_group,
        },
    ),
    Part(
        "Shards",
        "shards",
        (1, 3, 16),
        (1, 3),
        {
            "send; a message": channels.send_to_shards,
            "receive; a message": channels.receive_from_shards,
            "receive, all empty; a shard": channels.look_at_shards,
            "waits, then gets one; a shard": channels.wait_on_shards,
            "channel_statistics; a shard": channels.statistics_of_shards,
            "send to a group of 100 channels; a member": channels.send_to_groups_on_shards,
        },
        each_is_server=True,
    ),
    Part(
        "Sizes of messages",
        "B",
        (64, 1_000, 10_000, 100_000, 1_000_000, 8_000_000),
        (64, 10_000),
        {
            "send; a byte": channels.send_bytes,
            "receive; a byte": channels.receive_bytes,
            "send, encrypted; a byte": channels.send_encrypted,
            "receive, encrypted; a byte": channels.receive_encrypted,
            "send to 10 processes; a byte": channels.send_bytes_to_group,
        },
    ),
)
