"""Bindings that are gone after each test, and a layer that keeps what they send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asgi_redis.integrations.django import register_layer
from tests.support.workers.fakes import FakeLayer

pytest.importorskip("django")

from django.db.models import signals

from tests.support.workers.project import database
from workers.binding.base import BindingMetaclass

__all__ = ["database"]


@pytest.fixture(autouse=True)
def _bindings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connects bindings at their definition; no other test sees them."""
    classes: list[type] = []
    monkeypatch.setattr(BindingMetaclass, "register_immediately", True)
    monkeypatch.setattr(BindingMetaclass, "binding_classes", classes)
    yield
    for binding in classes:
        if isinstance(getattr(binding, "model", None), type):
            for name in ("pre_save", "post_save", "pre_delete", "post_delete"):
                getattr(signals, name).disconnect(getattr(binding, f"{name}_receiver"), sender=binding.model)


@pytest.fixture
def layer() -> Iterator[Any]:
    layer: Any = FakeLayer()
    before = register_layer("default", layer)
    yield layer
    register_layer("default", before)
