from __future__ import annotations

import pytest

from workers.runtime import crashes
from workers.runtime.crashes import MAX_CRASHES, WITHIN_SECONDS, CrashLimiter


def test_five_in_a_minute_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(crashes.time, "monotonic", lambda: now)
    limiter = CrashLimiter()
    assert not any(limiter.add() for _ in range(MAX_CRASHES - 1))
    assert limiter.add()
    now += WITHIN_SECONDS + 1
    assert not limiter.add()
