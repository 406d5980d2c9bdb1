"""The layers against a model of one: in whatever order they are called, nothing is lost, doubled or out of turn."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Callable

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from asgi_redis import InMemoryChannelLayer, IPCChannelLayer, RedisChannelLayer, RedisLocalChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.model import CAPACITY, DelayingMachine, ExpiringMachine, LayerMachine

pytestmark = pytest.mark.native("forks")

KEYS = {"plain": None, "encrypted": ["a key"]}


def run(machine: type[LayerMachine], make_layer: Callable[..., Any], examples: int, **attributes: Any) -> None:
    """Runs a machine against the layers that ``make_layer(capacity=…, expiry=…)`` makes."""

    def make(self: LayerMachine) -> Any:
        return make_layer(capacity=CAPACITY, expiry=self.expiry)

    settled = settings(
        max_examples=examples,
        stateful_step_count=50 if examples > 100 else 40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        # To shrink a failure takes minutes.
        phases=(Phase.generate, Phase.shrink) if examples > 100 else (Phase.generate,),
    )
    run_state_machine_as_test(type("Machine", (machine,), {"make_layer": make, **attributes}), settings=settled)


@pytest.fixture(params=["quick", pytest.param("long", marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def examples(request: pytest.FixtureRequest) -> int:
    return {"quick": 5, "long": 400}[request.param]


def machines(usual: type[LayerMachine], *others: type[LayerMachine]) -> pytest.MarkDecorator:
    """Each machine with each kind of keys; in the suite the usual one with both, the others with one."""
    pairs = [(machine, kind) for machine in (usual, *others) for kind in KEYS]
    params = [
        pytest.param(
            machine,
            kind,
            marks=[] if machine is usual or kind == "plain" else pytest.mark.soak,
            id=f"{machine.__name__}-{kind}",
        )
        for machine, kind in pairs
    ]
    return pytest.mark.parametrize(("machine", "keys"), params, indirect=["keys"])


@pytest.fixture(params=list(KEYS))
def keys(request: pytest.FixtureRequest) -> list[str] | None:
    if KEYS[request.param]:
        pytest.importorskip("cryptography")
    return KEYS[request.param]


def over(servers: list[RedisServer], layer_class: Any, keys: Any, **more: Any) -> Callable[..., Any]:
    def make(**kwargs: Any) -> Any:
        prefix = f"m{uuid.uuid4().hex[:8]}"
        hosts = [server.url for server in servers]
        stats = f"{prefix}-meta:"
        return layer_class(
            hosts=hosts, prefix=prefix, stats_prefix=stats, symmetric_encryption_keys=keys, **more, **kwargs
        )

    return make


@machines(DelayingMachine, ExpiringMachine)
def test_redis(machine: Any, redis_server: RedisServer, keys: Any, examples: int) -> None:
    run(machine, over([redis_server], RedisChannelLayer, keys), examples)


def test_shards(three_redis_servers: list[RedisServer], keys: Any, examples: int) -> None:
    run(DelayingMachine, over(three_redis_servers, RedisChannelLayer, keys), examples, one_order=False)


def test_local_and_remote(redis_server: RedisServer, examples: int, keys: Any) -> None:
    local = {"BACKEND": "asgi_redis.InMemoryChannelLayer"}
    make = over([redis_server], RedisLocalChannelLayer, keys, local_layer=local)
    run(LayerMachine, make, examples, crosses_processes=False)


@machines(LayerMachine, ExpiringMachine)
def test_in_memory(machine: Any, keys: Any, examples: int) -> None:
    def make(**kwargs: Any) -> Any:
        return InMemoryChannelLayer(symmetric_encryption_keys=keys, **kwargs)

    run(machine, make, examples, crosses_processes=False, shares_entries=False)


@machines(LayerMachine, ExpiringMachine)
def test_ipc(machine: Any, keys: Any, examples: int, tmp_path: Path) -> None:
    pytest.importorskip("lmdb")

    def make(**kwargs: Any) -> Any:
        prefix = f"m{uuid.uuid4().hex[:8]}"
        return IPCChannelLayer(prefix=prefix, path=tmp_path, symmetric_encryption_keys=keys, **kwargs)

    run(machine, make, examples, shares_entries=False)
