"""Facts for monitors, where a layer has them: counters, channels, processes."""

from __future__ import annotations

import time

import pytest

from asgi_redis.conformance.suite import Layer, MakeLayer, Suite, drain, send_all, wait_until
from asgi_redis.engine.facts import QUIET, Inspector, Registry

_COUNTED = ("messages_undecodable", "messages_requeued", "messages_retried")


class MonitoringTests(Suite):
    """Tests of promises of this project. A layer needs none of this."""

    def inspector(self, layer: Layer) -> Inspector:
        """Return the inspector of the layer; skip the test where it has none."""
        inspector: Inspector | None = getattr(layer, "inspector", None)
        if inspector is None:
            pytest.skip("the layer has no inspector")
        return inspector

    def registry(self, layer: Layer) -> Registry:
        """Return the registry of the layer; skip the test where it has none."""
        registry: Registry | None = getattr(layer, "registry", None)
        if registry is None:
            pytest.skip("the layer has no registry")
        return registry

    def needs_counter(self, layer: Layer, counter: str) -> None:
        """Skip the test unless the statistics of the layer have that key."""
        self.needs_extension(layer, "statistics")
        if counter not in layer.channel_statistics("a"):
            pytest.skip(f"the statistics have no {counter}")

    @pytest.mark.parametrize("counter", _COUNTED)
    def test_what_is_counted_is_in_the_statistics_of_the_channel_and_of_all(self, layer: Layer, counter: str) -> None:
        """``count`` adds to them, for all the names of a process together."""
        self.needs_counter(layer, counter)
        layer.count("a", counter)
        layer.count("a", counter, 2)
        layer.count("own!a", counter, 4)
        counts = [layer.channel_statistics(name)[counter] for name in ("a", "own!", "own!b", "b")]
        assert counts == [3, 4, 4, 0]
        assert layer.global_statistics()[counter] == 7

    def test_an_expired_message_is_counted_once(self, layer_for: MakeLayer) -> None:
        """``messages_expired``, where a later message keeps the channel."""
        expiry = 8 * self.resolution
        layer = layer_for(expiry=expiry)
        self.needs_counter(layer, "messages_expired")
        layer.send("reply.a!", {"n": 1})
        wait_until(time.monotonic() + expiry / 2)
        later = time.monotonic()
        layer.send("reply.a!", {"n": 2})
        wait_until(time.monotonic() + expiry / 2 + self.resolution)
        numbers = drain(layer, "reply.a!")
        if self.is_before(later + expiry):
            assert numbers == [2]
            assert layer.channel_statistics("reply.a!")["messages_expired"] == 1
            assert layer.global_statistics()["messages_expired"] == 1

    def test_peek_shows_the_first_messages_and_takes_none(self, layer: Layer) -> None:
        """The oldest first; their content only when it is asked for."""
        inspector = self.inspector(layer)
        send_all(layer, "reply?a", range(5))
        peeked = inspector.peek("reply?a", 3, content=True)
        assert [message.content for message in peeked] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert {message.channel for message in peeked} == {"reply?a"}
        assert all(0 <= message.age < 20 and message.size > 0 for message in peeked)
        assert [message.content for message in inspector.peek("reply?a", 10)] == [None] * 5
        assert drain(layer, "reply?a") == [0, 1, 2, 3, 4]
        assert inspector.peek("reply?a", 3) == []

    def test_peek_shows_everything_under_a_prefix(self, layer: Layer) -> None:
        inspector = self.inspector(layer)
        layer.send("own!a", {"n": 1})
        layer.send("own!b", {"n": 2})
        peeked = inspector.peek("own!", 10, content=True)
        assert [(message.channel, message.content) for message in peeked] == [
            ("own!a", {"n": 1}),
            ("own!b", {"n": 2}),
        ]

    def test_purge_deletes_the_messages_of_one_channel(self, layer_for: MakeLayer) -> None:
        """There is room again; other channels keep theirs."""
        layer = layer_for(capacity=6)
        inspector = self.inspector(layer)
        send_all(layer, "a", range(6))
        send_all(layer, "own!b", range(2))
        layer.send("b", {"n": 1})
        assert inspector.purge("a") == 6
        assert inspector.purge("own!") == 2
        assert inspector.purge("none") == 0
        send_all(layer, "a", range(6))
        assert sorted(drain(layer, "a")) == list(range(6))
        assert (drain(layer, "own!"), drain(layer, "b")) == ([], [1])

    def test_a_sweep_finds_channels_and_groups_with_their_numbers(self, layer: Layer) -> None:
        inspector = self.inspector(layer)
        send_all(layer, "a", range(3))
        send_all(layer, "own!b", range(2))
        if "groups" in layer.extensions:
            for channel in ("a", "b", "own!c"):
                layer.group_add("g", channel)
        queues: dict[str, int] = {}
        groups: dict[str, int] = {}
        for found in inspector.sweep():
            queues.update(found.queues)
            groups.update(found.groups)
        assert {queue: number for queue, number in queues.items() if number} == {"a": 3, "own!": 2}
        assert groups == ({"g": 3} if "groups" in layer.extensions else {})
        assert sorted(drain(layer, "a")) == [0, 1, 2]

    def test_the_registry_has_the_last_report_of_each_process(self, layer: Layer) -> None:
        registry = self.registry(layer)
        report = {"role": "worker", "channels": ["a", "b"], "busy": 1, "running": [{"seconds": 0.5}]}
        registry.report("host.1", {"n": 1})
        registry.report("host.2", {"n": 2})
        registry.report("host.1", report)
        entries = registry.processes()
        assert [(entry.process, entry.report) for entry in entries] == [("host.1", report), ("host.2", {"n": 2})]
        assert all(0 <= entry.age < 20 for entry in entries)
        registry.withdraw("host.1")
        assert [entry.process for entry in registry.processes()] == ["host.2"]

    def test_a_request_is_handed_out_by_the_next_report_alone(self, layer: Layer) -> None:
        registry = self.registry(layer)
        assert registry.report("host.1", {}) is None
        assert registry.report("host.2", {}) is None
        assert registry.ask("host.1", QUIET)
        assert not registry.ask("host.3", QUIET)
        assert registry.report("host.2", {}) is None
        assert registry.report("host.1", {}) == QUIET
        assert registry.report("host.1", {}) is None
