from __future__ import annotations

import pytest

from tests.workers.fakes import FakeLayer, message
from workers import exceptions


def test_all_errors_have_one_root() -> None:
    found = [value for value in vars(exceptions).values() if isinstance(value, type)]
    assert len(found) >= 8
    assert all(issubclass(kind, exceptions.WorkersError) for kind in found)


@pytest.mark.parametrize(("code", "close"), [(None, True), (1000, 1000), (4001, 4001)])
def test_close_exception_sends_its_code_to_the_websocket(code: int | None, close: object) -> None:
    layer = FakeLayer()
    exceptions.WebsocketCloseException(code).run(message(layer=layer, reply_channel="websocket.send!a"))
    assert layer.sent == [("websocket.send!a", {"close": close})]


def test_close_exception_refuses_a_code_that_is_no_integer() -> None:
    with pytest.raises(ValueError, match="'1000'"):
        exceptions.WebsocketCloseException("1000")  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [{}, {"reply_channel": "http.response!a"}])
def test_close_exception_needs_a_websocket(content: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no websocket"):
        exceptions.WebsocketCloseException().run(message(**content))
