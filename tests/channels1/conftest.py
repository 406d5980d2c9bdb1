"""Fixtures for the tests under a real Channels 1."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that has the tables of the project's apps."""
    from tests.channels1.stack import prepare_database  # here, because it skips whatever imports it elsewhere

    return prepare_database(tmp_path_factory.mktemp("database") / "project.sqlite3")
