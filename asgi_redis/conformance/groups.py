"""The extension "groups": ASGI 1.x, "Groups"."""

from __future__ import annotations

import time

from asgi_redis.conformance.suite import Layer, MakeLayer, Suite, Threads, drain, until


class GroupTests(Suite):
    """Groups are sets of channels, each with an expiry."""

    def test_a_group_reaches_its_members_and_nobody_else(self, layer: Layer) -> None:
        """ASGI: ``group_add``, ``group_discard``, ``send_group``."""
        self.needs_extension(layer, "groups")
        for channel in ("a", "b", "gone"):
            layer.group_add("g", channel)
        layer.group_add("other", "c")
        layer.group_discard("g", "gone")
        assert layer.send_group("g", {"n": 1}) == 0
        assert {name: drain(layer, name) for name in ("a", "b", "c", "gone")} == {
            "a": [1],
            "b": [1],
            "c": [],
            "gone": [],
        }

    def test_process_local_members_get_it_under_their_full_name(self, layer: Layer) -> None:
        """As asgiref 1.1.2, ``test_groups_process``."""
        self.needs_extension(layer, "groups")
        for channel in ("own!a", "own!b", "own!gone", "other!a"):
            layer.group_add("g", channel)
        layer.group_discard("g", "own!gone")
        layer.send_group("g", {"n": 1})
        received = sorted(layer.receive(["own!"])[0] for _ in range(2))
        assert received == ["own!a", "own!b"]
        assert layer.receive(["own!"]) == (None, None)
        assert layer.receive(["other!"]) == ("other!a", {"n": 1})

    def test_a_group_shows_its_channels(self, layer: Layer) -> None:
        """ASGI: ``group_channels``; a channel that was added twice is in it once."""
        self.needs_extension(layer, "groups")
        assert list(layer.group_channels("g")) == []
        for channel in ("a", "own!b", "reply?c", "a"):
            layer.group_add("g", channel)
        assert sorted(layer.group_channels("g")) == ["a", "own!b", "reply?c"]
        assert list(layer.group_channels("gg")) == []

    def test_a_member_that_was_added_twice_gets_one_message_and_is_removed_at_once(self, layer: Layer) -> None:
        """ASGI: a group is a set."""
        self.needs_extension(layer, "groups")
        layer.group_add("g", "a")
        layer.group_add("g", "a")
        layer.send_group("g", {"n": 1})
        assert drain(layer, "a") == [1]
        layer.group_discard("g", "a")
        layer.send_group("g", {"n": 2})
        assert drain(layer, "a") == []

    def test_removing_what_is_not_in_a_group_does_nothing(self, layer: Layer) -> None:
        """ASGI: no error."""
        self.needs_extension(layer, "groups")
        layer.group_discard("g", "a")
        layer.group_add("g", "b")
        layer.group_discard("g", "a")
        assert list(layer.group_channels("g")) == ["b"]

    def test_sending_to_a_group_without_members_does_nothing(self, layer: Layer) -> None:
        """ASGI: no error."""
        self.needs_extension(layer, "groups")
        assert layer.send_group("g", {"n": 1}) == 0

    def test_a_group_is_no_channel(self, layer: Layer) -> None:
        """ASGI: their names are apart."""
        self.needs_extension(layer, "groups")
        layer.group_add("same", "a")
        layer.send("same", {"n": 1})
        layer.send_group("same", {"n": 2})
        assert (drain(layer, "a"), drain(layer, "same")) == ([2], [1])

    def test_group_send_is_another_name_for_send_group(self, layer: Layer) -> None:
        """Channels 4 calls it that."""
        self.needs_extension(layer, "groups")
        layer.group_add("g", "a")
        assert layer.group_send("g", {"n": 1}) == 0
        assert drain(layer, "a") == [1]

    def test_a_message_to_a_group_keeps_its_place_in_each_channel(self, layer: Layer) -> None:
        """First in, first out, among what was sent to the channel itself."""
        self.needs_extension(layer, "groups")
        layer.group_add("g", "reply?a")
        for number in range(0, 30, 2):
            layer.send("reply?a", {"n": number})
            layer.send_group("g", {"n": number + 1})
        assert drain(layer, "reply?a") == list(range(30))

    def test_a_large_group_gets_it_all(self, layer: Layer) -> None:
        """However many there are, and in however many steps."""
        self.needs_extension(layer, "groups")
        members = [f"m{number}?x" for number in range(1200)]
        for member in members:
            layer.group_add("g", member)
        assert layer.send_group("g", {"n": 1}) == 0
        missing = [member for member in members if layer.receive([member]) != (member, {"n": 1})]
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
        until(added + expiry / 2)
        channels = sorted(layer.group_channels("g"))
        # On a machine that was held up, it is too late to say.
        if time.monotonic() < began + expiry - self.resolution:
            assert channels == ["old", "renewed"]
        renewed = time.monotonic()
        layer.group_add("g", "renewed")
        until(added + expiry + self.resolution)
        assert layer.send_group("g", {"n": 1}) == 0
        channels, numbers = list(layer.group_channels("g")), drain(layer, "renewed")
        if time.monotonic() < renewed + expiry - self.resolution:
            assert (channels, numbers) == (["renewed"], [1])
        assert "old" not in channels
        assert drain(layer, "old") == []
        assert layer.group_expiry == expiry

    def test_threads_that_join_and_leave_leave_those_who_stayed(self, layer: Layer) -> None:
        """Nothing that one does undoes what another does."""
        self.needs_extension(layer, "groups")

        def join_and_leave(own: str) -> None:
            for number in range(15):
                layer.group_add("g", f"{own}.{number}")
                if number % 3:
                    layer.group_discard("g", f"{own}.{number}")

        with Threads() as threads:
            for own in "abcd":
                threads.start(join_and_leave, own)
        stayed = [f"{own}.{number}" for own in "abcd" for number in range(0, 15, 3)]
        assert sorted(layer.group_channels("g")) == sorted(stayed)
