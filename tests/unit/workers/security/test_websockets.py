"""The check of the origin of a websocket."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")

from django.test import override_settings

import tests.support.workers.project  # noqa: F401  settings
from tests.support.workers.fakes import FakeLayer, message
from workers import route
from workers.exceptions import DenyConnection
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher
from workers.security.websockets import BaseOriginValidator, allowed_hosts_only


@allowed_hosts_only
def connect(message: Any, *args: Any, **kwargs: Any) -> Any:
    """Says what it was called with."""
    return (message["path"], args, kwargs)


def accepted(origin: bytes, *, debug: bool = False, hosts: tuple[str, ...] = ()) -> bool:
    received = message("websocket.connect", path="/", headers=[[b"host", b"h"], [b"origin", origin]])
    with override_settings(DEBUG=debug, ALLOWED_HOSTS=list(hosts)):
        try:
            connect(received)
        except DenyConnection:
            return False
    return True


@pytest.mark.parametrize(
    ("origin", "hosts", "answer"),
    [
        (b"http://example.com", ("example.com",), True),
        (b"https://EXAMPLE.com:8000", ("example.com",), True),
        (b"http://a.example.com", (".example.com",), True),
        (b"http://anything", ("*",), True),
        (b"http://[::1]:8000", ("[::1]",), True),
        (b"http://a.example.com", ("example.com",), False),
        (b"http://example.com.evil.org", ("example.com",), False),
        (b"http://example.com@evil.org", ("example.com",), False),
        (b"http://example.com", (), False),
        (b"example.com", ("example.com",), False),
        (b"null", ("*",), False),
        (b"", ("*",), False),
        (b"http://[", ("*",), False),
        (b"http://", ("*",), False),
        ("http://ä".encode(), ("*",), False),
    ],
)
def test_origins_from_allowed_hosts_are_accepted_only(origin: bytes, hosts: tuple[str, ...], answer: bool) -> None:
    assert accepted(origin, hosts=hosts) is answer


@pytest.mark.parametrize(
    "origin", [b"http://localhost:8000", b"http://a.localhost", b"http://127.0.0.1", b"http://[::1]"]
)
def test_in_debug_without_allowed_hosts_the_local_machine_is_accepted(origin: bytes) -> None:
    assert accepted(origin, debug=True)
    assert not accepted(origin)
    assert not accepted(b"http://example.com", debug=True)
    assert not accepted(origin, debug=True, hosts=("example.com",))


@pytest.mark.parametrize("content", [{}, {"headers": []}, {"headers": [[]]}, {"headers": [[b"origin"]]}])
def test_a_client_without_an_origin_is_refused(content: Any) -> None:
    with override_settings(ALLOWED_HOSTS=["*"]), pytest.raises(DenyConnection):
        connect(message("websocket.connect", **content))


def test_the_consumer_keeps_its_name_its_arguments_and_its_answer() -> None:
    received = message("websocket.connect", path="/", headers=[[b"origin", b"http://x"]])
    with override_settings(ALLOWED_HOSTS=["x"]):
        assert connect(received, 1, room="2") == ("/", (1,), {"room": "2"})
    assert connect.__name__ == "connect"
    assert connect.__doc__ == "Says what it was called with."


def test_a_project_may_decide_by_other_rules() -> None:
    class OnlyTLS(BaseOriginValidator):
        def validate_origin(self, message: Any, origin: str) -> bool:
            return origin.startswith("https:") and self.get_header(message, b"host") == [b"h"]

    @OnlyTLS
    def consumer(message: Any) -> str:
        return "called"

    headers = [[b"host", b"h"], [b"origin", b"https://x"]]
    assert consumer(message(headers=headers)) == "called"
    with pytest.raises(DenyConnection):
        consumer(message(headers=[[b"origin", b"http://x"]]))
    with pytest.raises(KeyError, match="host"):
        consumer(message(headers=headers[1:]))


def test_a_validator_without_a_rule_says_so() -> None:
    with pytest.raises(NotImplementedError, match="BaseOriginValidator has no method validate_origin"):
        BaseOriginValidator(connect)(message(headers=[[b"origin", b"http://x"]]))


def test_the_worker_closes_the_websocket_that_is_refused() -> None:
    layer: Any = FakeLayer()

    async def coroutine(message: Any) -> None:
        message.reply_channel.send({"accept": True})

    dispatcher = Dispatcher(Router([route("websocket.connect", allowed_hosts_only(coroutine))]), layer, None)
    with override_settings(ALLOWED_HOSTS=["x"]):
        for origin in (b"http://evil", b"http://x"):
            dispatcher.dispatch("websocket.connect", {"reply_channel": "r!1", "headers": [[b"origin", origin]]})
    assert layer.sent == [("r!1", {"close": True}), ("r!1", {"accept": True})]
