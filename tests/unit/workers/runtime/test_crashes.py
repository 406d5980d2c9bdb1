from __future__ import annotations

import pytest

from workers.runtime import crashes
from workers.runtime.crashes import MOST, WITHIN_SECONDS, Losses


def test_five_in_a_minute_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(crashes.time, "monotonic", lambda: now)
    one = Losses()
    one.add(MOST - 1)
    assert not one.keep_happening
    one.add()
    assert one.keep_happening
    now += WITHIN_SECONDS + 1
    assert not one.keep_happening
    one.add()
    assert not one.keep_happening
