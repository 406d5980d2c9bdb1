from __future__ import annotations

import pytest

from asgi_redis.engine.limits import ReceiveLimits
from workers.exceptions import ConfigurationError
from workers.runtime.limits import ChannelLimits


def room(limits: ChannelLimits) -> tuple[list[str], dict[str, int] | None]:
    channels, left = limits.room()
    return list(channels), None if left is None else dict(left)


def test_without_limits_all_channels_have_room() -> None:
    assert room(ChannelLimits(["b", "a"])) == (["a", "b"], None)


def test_a_channel_has_no_room_while_it_is_at_its_limit() -> None:
    limits = ChannelLimits(["a", "b"], [("a", 2)])
    assert room(limits) == (["a", "b"], {"a": 2})
    limits.take("a")
    assert room(limits) == (["a", "b"], {"a": 1})
    limits.take("a")
    assert room(limits) == (["a", "b"], {"a": 0})
    assert limits.free("a")
    assert not limits.free("a")
    assert room(limits) == (["a", "b"], {"a": 2})


def test_a_message_beyond_the_limit_is_counted_too() -> None:
    """A reader may have one that it had taken before the channel was full."""
    limits = ChannelLimits(["a", "b"], [("a", 1)])
    limits.take("a")
    limits.take("a")
    assert room(limits) == (["a", "b"], {"a": -1})
    assert not limits.free("a")
    assert room(limits)[1] == {"a": 0}
    assert limits.free("a")
    assert room(limits)[1] == {"a": 1}


def test_there_are_no_channels_when_none_has_room() -> None:
    limits = ChannelLimits(["a", "b"], [("*", 1)])
    limits.take("a")
    assert room(limits) == (["a", "b"], {"a": 0, "b": 1})
    limits.take("b")
    assert room(limits) == ([], None)
    limits.free("a")
    assert room(limits) == (["a", "b"], {"a": 1, "b": 0})


def test_a_glob_limits_each_channel_by_itself_and_the_first_match_holds() -> None:
    limits = ChannelLimits(["image.small", "image.big", "mail"], [("image.big", 1), ("image.*", 3)])
    assert room(limits)[1] == {"image.small": 3, "image.big": 1}
    assert limits.has("image.big")
    assert not limits.has("mail")


def test_what_is_asked_for_does_not_grow_with_the_channels_that_are_not_concerned() -> None:
    limits = ChannelLimits([f"c.{n}" for n in range(5000)], [("*", 1)])
    channels, left = limits.room()
    limits.take("c.7")
    later, left = limits.room()
    assert later is channels
    assert isinstance(left, ReceiveLimits)
    assert left.some == {"c.7": 0}
    assert left["c.8"] == 1
    assert len(left) == 5000


@pytest.mark.parametrize(
    ("limit", "said"),
    [(("c", 1), "matches none"), (("a", 0), "at least 1"), (("p!x", 1), "process-local")],
)
def test_a_limit_that_can_have_no_effect_is_refused(limit: tuple[str, int], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ChannelLimits(["a", "p!x"], [limit])
