"""The extension "groups" of ASGI 1.x."""

from __future__ import annotations

import re
import time

import pytest

from asgi_redis.conformance.suite import Layer, MakeLayer, Suite, Threads, drain, wait_until


class GroupTests(Suite):
    """Tests of groups: sets of channels, each of which expires."""

    def test_a_group_reaches_its_members_and_no_other_channel(self, group_layer: Layer) -> None:
        """ASGI: ``group_add``, ``group_discard``, ``send_group``."""
        for channel in ("a", "b", "gone"):
            group_layer.group_add("g", channel)
        group_layer.group_add("other", "c")
        group_layer.group_discard("g", "gone")
        assert group_layer.send_group("g", {"n": 1}) == 0
        received = {name: drain(group_layer, name) for name in ("a", "b", "c", "gone")}
        assert received == {"a": [1], "b": [1], "c": [], "gone": []}

    def test_process_local_members_get_it_under_their_full_name(self, group_layer: Layer) -> None:
        """As asgiref 1.1.2, ``test_groups_process``."""
        for channel in ("own!a", "own!b", "own!gone", "other!a"):
            group_layer.group_add("g", channel)
        group_layer.group_discard("g", "own!gone")
        group_layer.send_group("g", {"n": 1})
        received = sorted(group_layer.receive(["own!"])[0] for _ in range(2))
        assert received == ["own!a", "own!b"]
        assert group_layer.receive(["own!"]) == (None, None)
        assert group_layer.receive(["other!"]) == ("other!a", {"n": 1})

    def test_a_group_shows_its_channels(self, group_layer: Layer) -> None:
        """ASGI: ``group_channels``. A channel that was added twice is in it once."""
        assert list(group_layer.group_channels("g")) == []
        for channel in ("a", "own!b", "reply?c", "a"):
            group_layer.group_add("g", channel)
        assert sorted(group_layer.group_channels("g")) == ["a", "own!b", "reply?c"]
        assert list(group_layer.group_channels("gg")) == []

    def test_a_member_that_was_added_twice_gets_one_message_and_is_removed_at_once(self, group_layer: Layer) -> None:
        """ASGI: a group is a set."""
        group_layer.group_add("g", "a")
        group_layer.group_add("g", "a")
        group_layer.send_group("g", {"n": 1})
        assert drain(group_layer, "a") == [1]
        group_layer.group_discard("g", "a")
        group_layer.send_group("g", {"n": 2})
        assert drain(group_layer, "a") == []

    def test_a_group_without_members_or_without_that_member_is_no_error(self, group_layer: Layer) -> None:
        """ASGI: sending to it, and removing the channel from it, do nothing."""
        assert group_layer.send_group("g", {"n": 1}) == 0
        group_layer.group_discard("g", "a")
        group_layer.group_add("g", "b")
        group_layer.group_discard("g", "a")
        assert list(group_layer.group_channels("g")) == ["b"]

    def test_a_group_is_no_channel(self, group_layer: Layer) -> None:
        """ASGI: the names of groups and channels are apart."""
        group_layer.group_add("same", "a")
        group_layer.send("same", {"n": 1})
        group_layer.send_group("same", {"n": 2})
        assert (drain(group_layer, "a"), drain(group_layer, "same")) == ([2], [1])

    def test_group_send_is_another_name_for_send_group(self, group_layer: Layer) -> None:
        """Channels 4 calls it that."""
        group_layer.group_add("g", "a")
        assert group_layer.group_send("g", {"n": 1}) == 0
        assert drain(group_layer, "a") == [1]

    def test_a_group_counts_its_channels(self, group_layer: Layer) -> None:
        """Of this package: ``group_count``, the number of the ``group_channels``."""
        self.needs_call(group_layer, "group_count")
        assert group_layer.group_count("g") == 0
        for channel in ("a", "own!b", "own!c", "reply?d", "a"):
            group_layer.group_add("g", channel)
        assert group_layer.group_count("g") == 4
        group_layer.group_discard("g", "own!b")
        assert (group_layer.group_count("g"), group_layer.group_count("gg")) == (3, 0)

    def test_excluded_channels_do_not_get_a_groups_message(self, group_layer: Layer) -> None:
        """Of this package: ``exclude`` has full names, also of channels of one queue."""
        self.needs_call(group_layer, "send_group", "exclude")
        for channel in ("a", "b", "own!a", "own!b", "reply?a"):
            group_layer.group_add("g", channel)
        assert group_layer.send_group("g", {"n": 1}, exclude=["b", "own!a", "reply?a", "no.member"]) == 0
        assert [drain(group_layer, name) for name in ("a", "b", "reply?a")] == [[1], [], []]
        assert group_layer.receive(["own!"]) == ("own!b", {"n": 1})
        assert group_layer.receive(["own!"]) == (None, None)
        everyone = ("a", "b", "own!a", "own!b", "reply?a")
        assert group_layer.send_group("g", {"n": 2}, exclude=everyone) == 0
        assert [group_layer.receive([name]) for name in ("a", "b", "own!", "reply?a")] == [(None, None)] * 4
        group_layer.send_group("g", {"n": 3})
        assert [drain(group_layer, name) for name in ("a", "b", "reply?a")] == [[3], [3], [3]]

    def test_an_excluded_channel_that_is_full_is_not_counted(self, layer_for: MakeLayer) -> None:
        """Of this package: the message is not dropped for a channel that it is not for."""
        layer = layer_for(capacity=1)
        self.needs_extension(layer, "groups")
        self.needs_call(layer, "send_group", "exclude")
        for channel in ("reply?a", "reply?b", "reply?c"):
            layer.group_add("g", channel)
        for channel in ("reply?a", "reply?b"):
            layer.send(channel, {"n": 0})
        assert layer.send_group("g", {"n": 1}, exclude=["reply?a"]) == 1
        assert [drain(layer, name) for name in ("reply?a", "reply?b", "reply?c")] == [[0], [0], [1]]

    def test_names_to_exclude_that_are_none_are_type_errors_and_nothing_is_sent(self, group_layer: Layer) -> None:
        """Of this package: a str in the place of the list is a mistake, too."""
        self.needs_call(group_layer, "send_group", "exclude")
        group_layer.group_add("g", "a")
        for wrong, shown in (("a", "exclude=['a']"), (["a b"], "'a b'"), ([None], "None"), (7, "7"), (None, "None")):
            with pytest.raises(TypeError, match=re.escape(shown)):
                group_layer.send_group("g", {"n": 1}, exclude=wrong)
        assert drain(group_layer, "a") == []

    def test_a_message_to_a_group_keeps_its_place_in_each_channel(self, group_layer: Layer) -> None:
        """First in, first out, among the messages that were sent to the channel itself."""
        group_layer.group_add("g", "reply?a")
        for number in range(0, 30, 2):
            group_layer.send("reply?a", {"n": number})
            group_layer.send_group("g", {"n": number + 1})
        assert drain(group_layer, "reply?a") == list(range(30))

    def test_a_large_group_gets_it_all(self, group_layer: Layer) -> None:
        members = [f"m{number}?x" for number in range(1200)]
        for member in members:
            group_layer.group_add("g", member)
        assert group_layer.send_group("g", {"n": 1}) == 0
        missing = [member for member in members if group_layer.receive([member]) != (member, {"n": 1})]
        assert missing == []

    def test_a_membership_expires_unless_it_is_renewed(self, layer_for: MakeLayer) -> None:
        """ASGI: ``group_expiry`` counts from the last ``group_add``."""
        expiry = 8 * self.resolution
        layer = layer_for(group_expiry=expiry)
        self.needs_extension(layer, "groups")
        began = time.monotonic()
        for channel in ("old", "renewed"):
            layer.group_add("g", channel)
        added = time.monotonic()
        wait_until(added + expiry / 2)
        channels = sorted(layer.group_channels("g"))
        if self.is_before(began + expiry):
            assert channels == ["old", "renewed"]
        renewed = time.monotonic()
        layer.group_add("g", "renewed")
        wait_until(added + expiry + self.resolution)
        assert layer.send_group("g", {"n": 1}) == 0
        channels, numbers = list(layer.group_channels("g")), drain(layer, "renewed")
        count = layer.group_count("g") if hasattr(layer, "group_count") else 1
        if self.is_before(renewed + expiry):
            assert (channels, numbers, count) == (["renewed"], [1], 1)
        assert "old" not in channels
        assert drain(layer, "old") == []
        assert layer.group_expiry == expiry

    def test_members_that_join_and_leave_in_threads_do_not_disturb_others(self, group_layer: Layer) -> None:
        def join_and_leave(own: str) -> None:
            for number in range(15):
                group_layer.group_add("g", f"{own}.{number}")
                if number % 3:
                    group_layer.group_discard("g", f"{own}.{number}")

        with Threads() as threads:
            for own in "abcd":
                threads.start(join_and_leave, own)
        stayed = [f"{own}.{number}" for own in "abcd" for number in range(0, 15, 3)]
        assert sorted(group_layer.group_channels("g")) == sorted(stayed)
