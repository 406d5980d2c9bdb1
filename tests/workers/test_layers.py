from __future__ import annotations

import pytest

from tests.workers.fakes import FakeLayer
from workers import Group, layers


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_registered", {})


def test_a_registered_layer_is_what_its_alias_stands_for() -> None:
    layer = FakeLayer()
    layers.register_layer("other", layer)
    assert layers.layer_for("other") is layer
    assert Group("g", alias="other").channel_layer is layer


def test_other_aliases_are_looked_up_in_djangos_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pytest.importorskip("asgi_redis.settings")
    layer = FakeLayer()
    monkeypatch.setattr(settings, "get_channel_layer", {"default": layer}.__getitem__)
    assert Group("g").channel_layer is layer
