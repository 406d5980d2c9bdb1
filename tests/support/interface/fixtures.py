"""An interface under a server, with a stand-in for the workers behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from asgi_redis import InMemoryChannelLayer
from asgi_redis.interface import Interface
from asgi_redis.layers.base import BaseChannelLayer
from tests.support.interface.serving import UvicornThread
from tests.support.interface.stand_in import Message, StandIn

Answer = Callable[[StandIn, str, Message], None]


@dataclass
class Running:
    """What ``interface_for`` has started."""

    site: UvicornThread
    worker: StandIn
    interface: Interface
    layer: BaseChannelLayer


@pytest.fixture
def memory_layer() -> Iterator[InMemoryChannelLayer]:
    """The layer that the fast tests have."""
    with InMemoryChannelLayer() as layer:
        yield layer


@pytest.fixture
def interface_for(memory_layer: InMemoryChannelLayer) -> Iterator[Callable[..., Running]]:
    """
    ``interface_for(answer, layer=None, server={}, worker_layer=None, **options)`` runs an interface under uvicorn.

    Layers are closed in the end. The worker is a stand-in that answers with ``answer``; ``server`` are settings of
    uvicorn, ``options`` those of the interface.
    """
    with contextlib.ExitStack() as stack:

        def start(
            answer: Answer | None = None,
            layer: BaseChannelLayer | None = None,
            worker_layer: BaseChannelLayer | None = None,
            server: dict[str, Any] | None = None,
            **options: Any,
        ) -> Running:
            layer = memory_layer if layer is None else layer
            for given in (layer, worker_layer):
                if isinstance(given, BaseChannelLayer):
                    stack.enter_context(given)
                elif given is not None:
                    stack.enter_context(given.layer)
            worker = stack.enter_context(StandIn(worker_layer or layer, answer))
            interface = Interface(layer, **options)
            site = stack.enter_context(UvicornThread(interface, **(server or {})))
            return Running(site, worker, interface, layer)

        yield start
