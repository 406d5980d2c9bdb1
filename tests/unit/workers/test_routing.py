from __future__ import annotations

import functools
import timeit
from typing import Any

import pytest

from tests.support.workers.fakes import message
from workers import include, route
from workers.exceptions import RoutingError, RoutingImportError
from workers.routing import Router
from workers.utils import name_that_thing


def first(message: Any, **kwargs: Any) -> None:
    pass


def second(message: Any, **kwargs: Any) -> None:
    pass


listed = [route("a", first), route("b", second)]
mapped = {"a": first, "b": "tests.unit.workers.test_routing.second"}
single = route("c", first)


def test_a_route_matches_its_channels() -> None:
    router = Router([route("a", first), route(["b", b"c"], second)])
    assert router.channels == {"a", "b", "c"}
    assert router.match(message("a")) == (first, {})
    assert router.match(message("c")) == (second, {})
    assert router.match(message("d")) is None


def test_the_first_match_wins() -> None:
    assert Router([route("a", first), route("a", second)]).match(message("a")) == (first, {})


def test_all_filters_have_to_match_from_the_start_of_the_field() -> None:
    router = Router([route("a", first, path="/x", method="^GET$")])
    assert router.match(message("a", path="/x/y", method="GET")) == (first, {})
    assert router.match(message("a", path="/x/y", method="GETTER")) is None
    assert router.match(message("a", path="y/x", method="GET")) is None
    assert router.match(message("a", path="/x")) is None


def test_named_groups_become_keyword_arguments() -> None:
    router = Router([route("a", first, path=r"^/(?P<room>\w+)/(?P<id>\d+)?", method="(?:G|P)(?P<rest>.*)")])
    assert router.match(message("a", path="/chat/", method="POST")) == (
        first,
        {"room": "chat", "id": None, "rest": "OST"},
    )


def test_a_group_without_a_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"path.*without a name") as caught:
        route("a", first, path="^/(.*)")
    assert isinstance(caught.value, RoutingError)


def test_patterns_and_fields_may_be_bytes() -> None:
    assert Router([route("a", first, path=rb"^/(?P<x>\d)")]).match(message("a", path=b"/7")) == (
        first,
        {"x": "7"},
    )


def test_include_strips_the_prefix_for_its_routes_alone() -> None:
    seen: list[str] = []

    class Spy:
        def match(self, message: Any) -> None:
            seen.append(message["path"])

        def channel_names(self) -> set[str]:
            return set()

    received = message("a", path="/blog/7")
    assert Router([include([Spy()], path="^/blog"), Spy()]).match(received) is None
    assert seen == ["/7", "/blog/7"]
    assert received["path"] == "/blog/7"


def test_include_adds_the_groups_of_its_prefixes() -> None:
    inner = [route("a", first, path=r"^/(?P<id>\d+)$")]
    router = Router([include([include(inner, path="^/(?P<section>[a-z]+)")], path="^/(?P<lang>..)")])
    assert router.channels == {"a"}
    assert router.match(message("a", path="/en/blog/7")) == (
        first,
        {"lang": "en", "section": "blog", "id": "7"},
    )
    assert router.match(message("a", path="/en/7")) is None


def test_groups_of_the_route_win_over_those_of_the_prefix() -> None:
    router = Router([include([route("a", first, x=r"(?P<n>\d)")], x=r"(?P<n>\d)")])
    assert router.match(message("a", x="12")) == (first, {"n": "2"})


def test_a_prefix_on_a_field_that_is_missing_does_not_match() -> None:
    assert Router([include(listed, path="")]).match(message("a")) is None


@pytest.mark.parametrize("name", ["listed", "mapped"])
def test_a_routing_may_be_a_dotted_path_to_a_list_or_a_dict(name: str) -> None:
    for router in (Router(f"{__name__}.{name}"), Router([include(f"{__name__}.{name}")])):
        assert router.channels == {"a", "b"}
        found = router.match(message("b"))
        assert found is not None
        assert found[0].__name__ == "second"


def test_a_single_route_is_a_routing() -> None:
    assert Router(f"{__name__}.single").channels == {"c"}


@pytest.mark.parametrize("path", ["nowhere", "no.such.module", "tests.unit.workers.test_routing.nothing"])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    for build in (Router, include, functools.partial(route, "a")):
        with pytest.raises(ImportError, match=path) as caught:
            build(path)
        assert isinstance(caught.value, RoutingImportError)


@pytest.mark.parametrize("routing", [[first], 7, [None]])
def test_what_is_no_routing_is_refused(routing: Any) -> None:
    with pytest.raises(RoutingError, match="a routing is a list"):
        Router(routing)


def test_a_consumer_has_to_be_callable() -> None:
    with pytest.raises(RoutingError, match="not callable"):
        route("a", f"{__name__}.listed")


def test_consumers_are_called_by_their_names_in_the_log() -> None:
    class Consumer:
        def __call__(self, message: Any) -> None:
            pass

        def method(self, message: Any) -> None:
            pass

    assert name_that_thing(first) == f"{__name__}.first"
    assert name_that_thing(functools.partial(first, x=1)) == f"{__name__}.first"
    assert name_that_thing(Consumer).endswith("Consumer")
    assert name_that_thing(Consumer()).endswith("Consumer")
    assert name_that_thing(Consumer().method).endswith("Consumer.method")


def test_a_route_reads_well() -> None:
    assert str(route(["a", "b"], first, path="^/")) == f"a/b (path=^/) -> {__name__}.first"


def test_a_process_local_channel_is_routed_by_its_prefix() -> None:
    inner = [route("x.p!", first, kind="(?P<kind>a)"), route("x.p!", second)]
    router = Router([route("x.p", first), include(inner, path="^/in")])
    assert router.channels == {"x.p", "x.p!"}
    for name in ("x.p!abc", "x.p!"):
        assert router.match(message(name, kind="a", path="/in")) == (first, {"kind": "a"})
        assert router.match(message(name, path="/in")) == (second, {})
    assert router.match(message("x.p!abc")) is None
    assert router.match(message("x.q!abc", path="/in")) is None


def test_entries_of_another_kind_are_asked_in_their_place() -> None:
    class Own:
        def __init__(self, name: str) -> None:
            self.name = name

        def match(self, message: Any) -> Any:
            return (self.name, {}) if message.get("for") == self.name else None

        def channel_names(self) -> set[str]:
            return {"own"}

    class Subclass(type(route("a", first))):  # type: ignore[misc]
        def match(self, message: Any) -> Any:
            return ("subclass", {}) if message.get("for") == "subclass" else None

    router = Router([Own("early"), route("a", first), Own("late"), Subclass("b", first), route(["a", "b"], second)])
    for channel in ("a", "b", "own", "other"):
        assert router.match(message(channel, **{"for": "early"})) == ("early", {})
        assert router.match(message(channel, **{"for": "subclass"})) == (
            (first, {}) if channel == "a" else ("subclass", {})
        )
        assert router.match(message(channel, **{"for": "late"})) == ((first, {}) if channel == "a" else ("late", {}))
    assert router.match(message("a")) == (first, {})
    assert router.match(message("b")) == (second, {})
    assert router.match(message("own")) is None


def test_what_is_not_concerned_costs_nothing() -> None:
    """A thousand routes make a match no slower than two, by far."""

    def seconds(number: int) -> float:
        router = Router([route(f"c.{n}", first) for n in range(number)])
        last = message(f"c.{number - 1}")
        return min(timeit.repeat(lambda: router.match(last), number=100, repeat=5))

    assert seconds(1000) < 20 * seconds(2)
