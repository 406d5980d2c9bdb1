from __future__ import annotations

import pytest

from workers.exceptions import ConfigurationError
from workers.limits import Limits


def test_without_limits_all_channels_have_room() -> None:
    assert Limits(["b", "a"]).room() == (["a", "b"], None)


def test_a_channel_is_left_out_while_it_is_at_its_limit() -> None:
    limits = Limits(["a", "b"], [("a", 2)])
    assert limits.room() == (["a", "b"], {"a": 2})
    limits.take("a")
    assert limits.room() == (["a", "b"], {"a": 1})
    limits.take("a")
    assert limits.room() == (["b"], {})
    assert limits.free("a")
    assert not limits.free("a")
    assert limits.room() == (["a", "b"], {"a": 2})


def test_a_glob_limits_each_channel_by_itself_and_the_first_match_holds() -> None:
    limits = Limits(["image.small", "image.big", "mail"], [("image.big", 1), ("image.*", 3)])
    assert limits.room()[1] == {"image.small": 3, "image.big": 1}
    assert limits.has("image.big")
    assert not limits.has("mail")


@pytest.mark.parametrize(
    ("limit", "said"),
    [(("c", 1), "matches none"), (("a", 0), "at least 1"), (("p!x", 1), "process-local")],
)
def test_a_limit_that_can_have_no_effect_is_refused(limit: tuple[str, int], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Limits(["a", "p!x"], [limit])
