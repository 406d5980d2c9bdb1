"""The facts of a scope as ASGI 1.x messages have them."""

from __future__ import annotations

from asgi_redis.interface.asgi import facts_of

SCOPE = {"type": "http", "path": "/", "headers": [(b"Host", b"example.com")]}


def test_names_of_headers_are_lower_case_and_stay_in_order():
    scope = {**SCOPE, "headers": [(b"B", b"1"), (b"a", b"2"), (b"b", b"3")]}
    assert facts_of(scope)["headers"] == [[b"b", b"1"], [b"a", b"2"], [b"b", b"3"]]


def test_a_name_with_an_underscore_does_not_pass_for_that_of_a_proxy():
    scope = {**SCOPE, "headers": [(b"X_Forwarded_Proto", b"https"), (b"x-forwarded-for", b"1")]}
    assert facts_of(scope)["headers"] == [[b"x-forwarded-for", b"1"]]


def test_cookies_that_http_2_has_split_are_one_header():
    scope = {**SCOPE, "headers": [(b"cookie", b"a=1"), (b"host", b"x"), (b"cookie", b"b=2")]}
    assert facts_of(scope)["headers"] == [[b"host", b"x"], [b"cookie", b"a=1; b=2"]]


def test_an_address_that_the_server_does_not_know_is_left_out():
    assert facts_of({**SCOPE, "client": None, "server": ("example.com", 80)})["server"] == ["example.com", 80]
    assert "client" not in facts_of({**SCOPE, "client": None})


def test_what_a_server_leaves_out_has_the_defaults_of_asgi():
    facts = facts_of({**SCOPE, "type": "websocket"})
    assert (facts["scheme"], facts["query_string"], facts["root_path"]) == ("ws", b"", "")
