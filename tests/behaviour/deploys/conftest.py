"""Fixtures of the tests of deploys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import RESULTS
from tests.support.deploys.figures import DeployFigures
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--save``, of ``pytest -m soak tests/behaviour/deploys -p no:xdist --save``."""
    parser.addoption(
        "--save", action="store_true", help="write the figures of the soak tests into benchmarks/results"
    )


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[DeployFigures]:
    """The rows of the soak tests, which ``--save`` writes where a table has all of them."""
    found = DeployFigures(request.config.invocation_params.args)
    yield found
    if request.config.getoption("--save", default=False):
        found.save(RESULTS)
