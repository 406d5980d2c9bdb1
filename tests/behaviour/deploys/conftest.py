"""Fixtures of the tests of deploys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deploys.stack import Stack

pytest.importorskip("django")
pytest.importorskip("uvicorn")


@pytest.fixture
def stack_of(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """``stack_of(**settings)`` starts a site: see ``Stack``."""
    with contextlib.ExitStack() as running:

        def start(**settings: Any) -> Stack:
            return running.enter_context(Stack(tmp_path, **settings))

        yield start
