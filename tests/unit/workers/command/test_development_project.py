"""The layer and the application that the development server takes from the settings."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")
pytest.importorskip("uvicorn")

from django.conf import settings
from django.test import override_settings

from tests.support.workers import project as _  # noqa: F401  configures Django
from workers.command.development_project import use_memory_by_default

MEMORY = "asgi_redis.InMemoryChannelLayer"


@pytest.mark.parametrize(
    ("layers", "after"),
    [
        ({}, {"default": {"BACKEND": MEMORY}}),
        ({"default": {"ROUTING": "a.b"}}, {"default": {"BACKEND": MEMORY, "ROUTING": "a.b"}}),
        ({"other": {"BACKEND": "a.B"}}, {"default": {"BACKEND": MEMORY}, "other": {"BACKEND": "a.B"}}),
        ({"default": {"BACKEND": "a.B"}}, {"default": {"BACKEND": "a.B"}}),
        ({"default": None}, {"default": None}),
        (None, None),
    ],
)
def test_the_default_layer_is_in_memory_where_the_settings_name_none(layers: Any, after: Any) -> None:
    with override_settings(CHANNEL_LAYERS=layers):
        use_memory_by_default()
        assert after == settings.CHANNEL_LAYERS
