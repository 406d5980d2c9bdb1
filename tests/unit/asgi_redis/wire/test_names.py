"""Names: which are valid, and where a channel's messages are. The layers' tests show the errors that users see."""

from __future__ import annotations

import pytest

from asgi_redis.exceptions import InvalidName
from asgi_redis.wire.names import (
    are_channels_of,
    check_channel_name,
    check_group_name,
    is_channel_name,
    is_normal,
    members_by_queue,
    queue_of,
    shard_of,
    shares,
)

CHANNELS = ["work", "a.b-c_D9", "x!", "x!y", "reply?abc"]
NO_CHANNELS = ["", "!x", "?x", "a b", "a!b!c", "a?b!c", "a:b", "é", "n" * 100, "a\n"]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_valid_channel_name_passes_every_check(name):
    assert is_channel_name(name)
    check_channel_name(name)
    assert members_by_queue([name.encode()]) == {queue_of(name).encode(): [name.encode()]}


@pytest.mark.parametrize("name", [*NO_CHANNELS, "reply?", None, b"work", 1])
def test_any_other_name_is_refused(name):
    assert not is_channel_name(name)
    with pytest.raises(InvalidName):
        check_channel_name(name)


def test_the_names_of_an_entry_are_channels_of_its_queue():
    assert are_channels_of("a.b!", ["a.b!"])
    assert are_channels_of("a.b!", ["a.b!x", "a.b!", "a.b!x"])


@pytest.mark.parametrize(
    "name", ["acb!x", "x!y", "work", "a.b!x!y", "a.b!\n", "a.b!x\na.b!y", "a.b!" + "n" * 96, "", None, 1]
)
def test_a_name_that_is_no_channel_of_the_queue_shows_among_others(name):
    assert not are_channels_of("a.b!", [name])
    assert not are_channels_of("a.b!", ["a.b!x", name, "a.b!y"])
    assert not are_channels_of("a.b!", [])


@pytest.mark.parametrize("name", [name for name in NO_CHANNELS if len(name) < 100])
def test_a_member_of_a_group_that_is_no_channel_name_has_no_queue(name):
    assert members_by_queue([name.encode()]) == {}
    assert list(members_by_queue([b"x!a", name.encode(), b"x!b", b"y"])) == [b"x!", b"y"]


ALIKE = [b"p.0!a", b"p.1!b", b"p.0!c", b"p.2!d"]


@pytest.mark.parametrize(
    "other",
    [
        *(None, b"p.3!e", b"p.3!", b"p.33!e", b"p.3e!", b"work.", b"p?3.e", b"p.3!!", b"!p.3e", b"p.3 e"),
        *(b"", b"p!3\ne", b"p.3!e\np.4!f", b"\n\n\n\n\n", b"p.\xff!e"),
    ],
)
@pytest.mark.parametrize("position", range(5))
def test_members_are_found_by_queue_whether_their_names_are_alike_or_not(other, position):
    members = ALIKE[:position] + ([] if other is None else [other]) + ALIKE[position:]
    expected = {}
    for member in members:
        if is_channel_name(member.decode("latin-1")):
            expected.setdefault(queue_of(member.decode()).encode(), []).append(member)
    found = members_by_queue(members)
    assert {queue: list(channels) for queue, channels in found.items()} == expected
    assert list(found) == list(expected)


def test_the_members_of_one_queue_stay_together():
    members = [b"p!%d" % number for number in range(9)]
    assert members_by_queue(members) == {b"p!": members}
    assert members_by_queue([b"p!10", *members]) == {b"p!": [b"p!10", *members]}


def test_marks_at_equal_distances_do_not_make_names_alike():
    members = [b"p!aa", b"p!b", b"xp!cc"]
    assert members_by_queue(members) == {b"p!": [b"p!aa", b"p!b"], b"xp!": [b"xp!cc"]}


@pytest.mark.parametrize("name", [*CHANNELS[2:], "", "a b", "n" * 100, None])
def test_group_names_have_neither_mark(name):
    with pytest.raises(InvalidName):
        check_group_name(name)
    check_group_name("chat")


def test_a_process_local_channel_is_received_from_up_to_its_mark():
    check_channel_name("x!", receive=True)
    with pytest.raises(InvalidName, match="must end at the !"):
        check_channel_name("x!y", receive=True)


@pytest.mark.parametrize(
    ("channel", "queue", "normal"), [("work", "work", True), ("x!y", "x!", False), ("r?z", "r?z", False)]
)
def test_the_queue_of_a_channel_ends_at_its_exclamation_mark(channel, queue, normal):
    assert queue_of(channel) == queue
    assert is_normal(channel) is normal


@pytest.mark.parametrize("queue", ["x!", "reply?abc"])
def test_a_pinned_queue_has_its_capacity_on_one_shard(queue):
    assert shares(queue, 7, 3) == {shard_of(queue.encode(), 3): 7}


def test_a_normal_queue_has_its_capacity_spread_over_all_shards():
    assert shares("work", 7, 3) == {0: 3, 1: 2, 2: 2}
    assert shares("work", 1, 3) == {0: 1, 1: 0, 2: 0}
