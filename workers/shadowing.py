"""
A package or module of the project that is called ``workers``, too: Python imports the first that it finds, and the
other is out of reach.
"""

from __future__ import annotations

import sys
from pathlib import Path

_OURS = Path(__file__).parent


def hidden() -> str | None:
    """Returns what to say about another ``workers`` that this package hides, or None where there is none."""
    for entry in sys.path:
        folder = Path(entry or ".").absolute()
        if (folder / "asgi_redis" / "__init__.py").exists():
            continue  # another copy of this distribution, or this one
        found = [folder / "workers.py", *sorted((folder / "workers").glob("*.py"))]
        if any(path.exists() for path in found):
            other = found[0] if found[0].exists() else folder / "workers"
            return (
                f"{other} is hidden by {_OURS}: both are called workers, and Python imports only one of them; rename "
                f"that of the project"
            )
    return None


def hint(error: BaseException) -> str | None:
    """Returns the same where it is the reason for an error of an import."""
    name = getattr(error, "name", None)
    about_workers = isinstance(error, ImportError) and isinstance(name, str) and name.partition(".")[0] == "workers"
    return hidden() if about_workers else None
