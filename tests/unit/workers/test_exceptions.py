from __future__ import annotations

import pytest

import workers
from tests.support.workers.fakes import FakeLayer, message
from workers import exceptions
from workers.runtime.pool import Pool


def test_all_errors_have_one_root() -> None:
    found = [each for each in vars(exceptions).values() if getattr(each, "__module__", "") == exceptions.__name__]
    assert len(found) >= 7
    assert all(issubclass(kind, exceptions.WorkersError) for kind in found)


@pytest.mark.parametrize(("code", "close"), [(None, True), (1000, 1000), (4001, 4001)])
@pytest.mark.parametrize("reply", ["websocket.send!a", "daphne.response.abcdef!ghijkl"])
def test_close_exception_sends_its_code_to_the_websocket(reply: str, code: int | None, close: object) -> None:
    """Whatever the interface server calls its reply channels; the second name is one of daphne 1.4.2's."""
    layer = FakeLayer()
    exceptions.WebsocketCloseException(code).run(message("websocket.receive", layer, reply_channel=reply))
    assert layer.sent == [(reply, {"close": close})]


def test_close_exception_refuses_a_code_that_is_no_integer() -> None:
    with pytest.raises(ValueError, match="'1000'"):
        exceptions.WebsocketCloseException("1000")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("channel", "content"),
    [
        ("websocket.receive", {}),
        ("http.request", {"reply_channel": "http.response!a"}),
        ("http.request", {"reply_channel": "daphne.response.abcdef!ghijkl"}),
        ("websockets", {"reply_channel": "daphne.response.abcdef!ghijkl"}),
    ],
)
def test_close_exception_needs_a_websocket(channel: str, content: dict[str, str]) -> None:
    layer = FakeLayer()
    with pytest.raises(ValueError, match=f"raised for {channel}: .*no websocket"):
        exceptions.WebsocketCloseException().run(message(channel, layer, **content))
    assert layer.sent == []


def test_what_consumers_raise_and_pools_are_names_of_the_package() -> None:
    assert workers.ConsumeLater is exceptions.ConsumeLater
    assert workers.DenyConnection is exceptions.DenyConnection
    assert workers.WebsocketCloseException is exceptions.WebsocketCloseException
    assert workers.Pool is Pool
