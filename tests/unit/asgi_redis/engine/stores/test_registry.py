"""The registry of a layer over a store: entries of processes that expire, and requests to them."""

from __future__ import annotations

import os

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.engine.facts import QUIET
from asgi_redis.wire.registry import REPORT_EXPIRY_SECONDS
from tests.support.stores.both import store_clock, store_layer, store_layer_for  # noqa: F401  fixtures
from tests.support.threads import in_threads

REPORT = {"role": "worker", "pid": 7, "channels": ["a", "b"], "running": [{"channel": "a", "seconds": 0.5}]}


@pytest.fixture
def registry(store_layer):  # noqa: F811
    return store_layer.registry


@pytest.fixture
def clock(store_clock):  # noqa: F811
    return store_clock


class TestEntries:
    def test_the_last_report_of_each_process_with_its_age(self, registry, clock):
        registry.report("b.2", {"n": 1})
        registry.report("a.1", {"n": 1})
        clock.now += 2
        registry.report("a.1", REPORT)
        clock.now += 1.5
        assert registry.processes() == [("a.1", 1.5, REPORT), ("b.2", 3.5, {"n": 1})]

    def test_one_expires_to_the_instant(self, registry, clock):
        registry.report("a.1", REPORT)
        clock.now += REPORT_EXPIRY_SECONDS
        assert [entry.process for entry in registry.processes()] == ["a.1"]
        clock.now += 0.001
        assert registry.processes() == []
        assert not registry.ask("a.1", QUIET)

    def test_a_process_withdraws_its_entry(self, registry):
        registry.report("a.1", REPORT)
        registry.report("b.2", REPORT)
        registry.ask("a.1", QUIET)
        registry.withdraw("a.1")
        registry.withdraw("never there")
        assert [entry.process for entry in registry.processes()] == ["b.2"]
        assert registry.report("a.1", REPORT) is None

    def test_a_report_that_json_cannot_express_is_an_error_and_leaves_the_last(self, registry):
        registry.report("a.1", REPORT)
        with pytest.raises(TypeError):
            registry.report("a.1", {"n": object()})
        assert [entry.report for entry in registry.processes()] == [REPORT]

    def test_hundreds_of_processes(self, registry):
        """More than one step of reading."""
        names = sorted(f"host.{number}" for number in range(230))
        for name in names:
            registry.report(name, {**REPORT, "channels": ["x" * 1000]})
        assert [entry.process for entry in registry.processes()] == names

    def test_messages_and_groups_are_apart(self, registry, store_layer):  # noqa: F811
        registry.report("a", REPORT)
        store_layer.send("a", {"n": 1})
        store_layer.group_add("a", "a")
        assert store_layer.receive(["a"]) == ("a", {"n": 1})
        assert store_layer.group_channels("a") == ["a"]
        assert [entry.report for entry in registry.processes()] == [REPORT]
        assert store_layer.global_statistics()["messages_count"] == 1


class TestRequests:
    def test_the_next_report_hands_it_out_and_no_further_one(self, registry):
        assert registry.report("a.1", REPORT) is None
        assert registry.ask("a.1", QUIET)
        assert [entry.report for entry in registry.processes()] == [REPORT]
        assert registry.report("a.1", {"n": 2}) == QUIET
        assert registry.report("a.1", {"n": 3}) is None
        assert [entry.report for entry in registry.processes()] == [{"n": 3}]

    def test_it_is_for_one_process(self, registry):
        registry.report("a.1", REPORT)
        registry.report("a.11", REPORT)
        registry.ask("a.1", QUIET)
        assert registry.report("a.11", REPORT) is None

    def test_the_last_one_counts(self, registry):
        registry.report("a.1", REPORT)
        registry.ask("a.1", "a longer request")
        registry.ask("a.1", QUIET)
        assert registry.report("a.1", REPORT) == QUIET

    def test_it_prolongs_no_entry(self, registry, clock):
        registry.report("a.1", REPORT)
        clock.now += 10
        registry.ask("a.1", QUIET)
        clock.now += 6
        assert registry.processes() == []

    def test_a_process_that_is_not_in_the_registry_cannot_be_asked(self, registry):
        assert not registry.ask("a.1", QUIET)
        assert registry.report("a.1", REPORT) is None

    def test_threads_hand_out_each_request_once(self, registry):
        asked, handed = [], []
        registry.report("a.1", REPORT)

        def ask(number):
            for count in range(100):
                if number < 2:
                    handed.extend(filter(None, [registry.report("a.1", REPORT)]))
                elif registry.ask("a.1", f"{number}.{count}"):
                    asked.append(f"{number}.{count}")

        in_threads(ask, range(4))
        handed.extend(filter(None, [registry.report("a.1", REPORT)]))
        assert len(set(handed)) == len(handed)
        assert set(handed) <= set(asked)
        assert handed


def test_nothing_of_a_process_stays_that_has_died(store_layer, clock):  # noqa: F811
    """Reports of others remove its entry, and messages do."""
    registry, store = store_layer.registry, store_layer.store
    for number in range(300):
        registry.report(f"dead.{number}", REPORT)
    registry.ask("dead.1", QUIET)
    clock.now += REPORT_EXPIRY_SECONDS + 1
    for _ in range(100):
        registry.report("alive", REPORT)
        clock.now += 0.1
    if hasattr(store, "transact"):
        keys = store.transact(lambda environment, txn, at: [key for key, _ in txn.cursor() if key[:2] == b"sr"])
        assert keys == [b"sralive"]
    else:
        assert list(store._reports._reports) == ["alive"]
        assert store._reports._requests == {}


def test_flush_removes_entries_until_the_next_report(store_layer):  # noqa: F811
    store_layer.registry.report("a.1", REPORT)
    store_layer.flush()
    assert store_layer.registry.processes() == []
    store_layer.registry.report("a.1", REPORT)
    assert [entry.report for entry in store_layer.registry.processes()] == [REPORT]


def test_a_forked_process_has_no_part_in_the_memory_of_its_parent():
    layer = InMemoryChannelLayer()
    layer.registry.report("parent", REPORT)
    pid = os.fork()
    if not pid:
        os._exit(len(layer.registry.processes()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [entry.process for entry in layer.registry.processes()] == ["parent"]
