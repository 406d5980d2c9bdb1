"""The guide about the interface: its settings and modules work."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_redis.integrations.django import make_channel_layer
from asgi_redis.interface import Interface
from tests.support.documents.pages import Page

PAGE = Page(Path(__file__).parents[2] / "docs" / "howto" / "interface.rst")


@pytest.mark.parametrize("code", [block.text for block in PAGE.blocks("python") if "settings.py" in block.caption])
def test_the_settings_make_layers_and_an_interface(code):
    settings: dict[str, dict[str, object]] = {}
    exec(code, settings)
    layers = settings["CHANNEL_LAYERS"]
    for alias in layers:
        make_channel_layer(alias, layers).close()
    Interface(**settings.get("CHANNEL_INTERFACE", {}))


def test_the_module_makes_an_interface(monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mysite.settings")
    first = next(block for block in PAGE.blocks("python") if "asgi.py" in block.caption)
    module: dict[str, object] = {}
    exec(first.text, module)
    assert isinstance(module["application"], Interface)
