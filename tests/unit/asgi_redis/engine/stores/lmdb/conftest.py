"""Fixtures of the LMDB store."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("lmdb"):
    from tests.support.stores.lmdb_stores import base, clock, directory, store  # noqa: F401  fixtures
