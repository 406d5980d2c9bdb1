"""Names of channels, as in ASGI 1.x: normal, single-reader and process-local."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from asgi_redis.conformance.suite import Layer, Suite

WRONG = ["", "two words", "x" * 100, "a/b", "é", "a!b!c", "a?b?c", "a!b?c", "!", "!a", "?a", "a\n", b"bytes", None, 7]


class NameTests(Suite):
    """Tests of valid names and their meaning."""

    @pytest.mark.parametrize("name", ["a", "http.request", "A-Z_0.9", "x" * 99, "own.1f!local", "reply?x", "p!"])
    def test_a_valid_name_can_be_sent_to_and_received_from(self, layer: Layer, name: str) -> None:
        """ASGI: under 100 ASCII letters, digits and ``-_.``, at most one ``!`` or ``?``."""
        layer.send(name, {"to": name})
        before, mark, _ = name.partition("!")
        assert layer.receive([before + mark]) == (name, {"to": name})

    @pytest.mark.parametrize("name", WRONG)
    def test_a_name_that_is_not_valid_is_a_type_error_that_shows_it(self, layer: Layer, name: object) -> None:
        """ASGI's base layer raises TypeError. That it shows the name is our promise."""
        calls: list[Callable[[], object]] = [lambda: layer.send(name, {}), lambda: layer.receive([name])]
        if "groups" in layer.extensions:
            calls += [lambda: layer.group_add("g", name), lambda: layer.group_discard("g", name)]
        for call in calls:
            with pytest.raises(TypeError, match=re.escape(repr(name))):
                call()

    def test_receiving_from_a_process_local_name_with_its_local_part_is_refused(self, layer: Layer) -> None:
        """ASGI: receivers listen on the name up to and including the ``!``."""
        with pytest.raises(TypeError, match="own!local"):
            layer.receive(["own!local"])

    def test_a_bare_name_is_not_a_list_of_channels(self, layer: Layer) -> None:
        """Its letters would be names."""
        with pytest.raises(TypeError):
            layer.receive("a")

    def test_receiving_from_no_channels_returns_nothing_at_once(self, layer: Layer) -> None:
        assert layer.receive([]) == (None, None)
        assert layer.receive([], block=True) == (None, None)

    def test_channels_may_be_any_collection_of_names(self, layer: Layer) -> None:
        """ASGI says "a list or other iterable"."""
        for channels in (["a", "b"], ("a", "b"), {"a", "b"}, dict.fromkeys("ab")):
            layer.send("b", {"n": 1})
            assert layer.receive(channels) == ("b", {"n": 1})

    def test_a_channel_that_is_named_twice_is_read_once(self, layer: Layer) -> None:
        layer.send("a", {"n": 1})
        assert layer.receive(["a", "a"]) == ("a", {"n": 1})
        assert layer.receive(["a", "a"]) == (None, None)

    def test_channels_whose_names_begin_alike_are_apart(self, layer: Layer) -> None:
        sent = {"a": "a", "a!x": "a!", "a?x": "a?x", "ab": "ab", "a.b": "a.b", "b.a": "b.a", "A": "A"}
        for name in sent:
            layer.send(name, {"to": name})
        for name, read in reversed(sent.items()):
            assert layer.receive([read]) == (name, {"to": name})
            assert layer.receive([read]) == (None, None)

    def test_a_process_local_prefix_receives_for_all_names_under_it(self, layer: Layer) -> None:
        """ASGI, process-local channels: the full name is returned."""
        names = ["own!a", "own!b", "own!a", "own!"]
        for name in names:
            layer.send(name, {"to": name})
        assert [layer.receive(["own!"]) for _ in names] == [(name, {"to": name}) for name in names]
        assert layer.receive(["own!"]) == (None, None)

    def test_a_new_channel_is_a_new_valid_name_that_works(self, layer: Layer) -> None:
        """ASGI, ``new_channel``: a unique name that starts with the pattern."""
        names = {layer.new_channel("reply.to?") for _ in range(100)}
        assert len(names) == 100
        for name in names:
            assert re.fullmatch(r"reply\.to\?[a-zA-Z0-9\-_.]+", name)
            assert len(name) < 100
        name = names.pop()
        layer.send(name, {"n": 1})
        assert layer.receive(list(names)) == (None, None)
        assert layer.receive([*names, name]) == (name, {"n": 1})

    @pytest.mark.parametrize("pattern", ["reply", "own!", "", "reply?x", "two words?", "?", None, "x" * 99 + "?"])
    def test_a_pattern_for_no_valid_single_reader_name_is_refused(self, layer: Layer, pattern: object) -> None:
        """ASGI 1.x: the pattern must end in ``?``."""
        with pytest.raises(TypeError):
            layer.new_channel(pattern)
