from __future__ import annotations

import pytest

from tests.support.workers.fakes import FakeLayer
from workers import Group, asgi


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "_registered", {})


def test_a_registered_layer_is_what_its_alias_stands_for() -> None:
    layer = FakeLayer()
    asgi.register_layer("other", layer)
    assert asgi.layer_for("other") is layer
    assert Group("g", alias="other").channel_layer is layer


def test_other_aliases_are_looked_up_in_djangos_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pytest.importorskip("asgi_redis.integrations.django")
    layer = FakeLayer()
    monkeypatch.setattr(settings, "get_channel_layer", {"default": layer}.__getitem__)
    assert Group("g").channel_layer is layer
