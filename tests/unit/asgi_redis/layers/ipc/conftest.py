"""IPC layers in a private directory of the test."""

from __future__ import annotations

import contextlib

import pytest

from asgi_redis import IPCChannelLayer
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture


@pytest.fixture
def layer_for(base):  # noqa: F811
    with contextlib.ExitStack() as stack:

        def make(**settings):
            return stack.enter_context(IPCChannelLayer(**{"path": base, **settings}))

        yield make


@pytest.fixture
def layer(layer_for):
    return layer_for()
