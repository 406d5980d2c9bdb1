from __future__ import annotations

from typing import Any

import pytest

from workers.signals import Signal


def test_receivers_are_called_in_order_with_signal_and_sender() -> None:
    signal, calls = Signal(), []
    signal.connect(lambda **named: calls.append(("first", named)))
    signal.connect(lambda **named: calls.append(("second", named)))
    signal.send(sender="me", environ={})
    named = {"signal": signal, "sender": "me", "environ": {}}
    assert calls == [("first", named), ("second", named)]


def test_a_receiver_for_one_sender_hears_only_that_one() -> None:
    signal, heard = Signal(), []
    signal.connect(lambda sender, **_: heard.append(sender), sender=int)
    signal.send(sender=str)
    signal.send(sender=int)
    assert heard == [int]


def test_connecting_twice_calls_once() -> None:
    signal, calls = Signal(), []

    def receiver(**_: Any) -> None:
        calls.append(1)

    signal.connect(receiver)
    signal.connect(receiver)
    signal.connect(lambda **_: calls.append(2), dispatch_uid="x")
    signal.connect(lambda **_: calls.append(3), dispatch_uid="x")
    signal.send(sender=None)
    assert calls == [1, 2]


def test_disconnecting_undoes_connecting() -> None:
    signal = Signal()
    calls: list[object] = []
    signal.connect(calls.append)
    assert signal.disconnect(calls.append)
    assert not signal.disconnect(calls.append)
    signal.send(sender=None)
    assert calls == []


def test_a_receiver_that_raises_is_logged_and_the_next_is_called(caplog: pytest.LogCaptureFixture) -> None:
    signal, calls = Signal(), []

    def broken(**_: Any) -> None:
        raise LookupError("broken receiver")

    signal.connect(broken)
    signal.connect(lambda **_: calls.append(1))
    signal.send(sender=None)
    assert calls == [1]
    assert "broken receiver" in caplog.text


def test_djangos_receiver_decorator_connects() -> None:
    dispatch = pytest.importorskip("django.dispatch")
    signal, calls = Signal(), []

    @dispatch.receiver(signal, sender=int, weak=False, dispatch_uid="y")
    def receiver(sender: Any, **_: Any) -> None:
        calls.append(sender)

    signal.send(sender=int)
    assert calls == [int]
