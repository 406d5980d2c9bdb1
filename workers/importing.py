"""Imports by dotted path, and readable reasons when they fail."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from workers.exceptions import ConfigurationError

_OWN_FOLDER = Path(__file__).parent


def import_path(path: str, what: str, error_class: type[ConfigurationError] = ConfigurationError) -> Any:
    """
    Return the object at ``module.name`` or ``module:name.name``.

    Raises ``error_class`` for any exception of the imported modules. Its text has ``what``, the reason and its line.
    """
    module_name, _, names = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not names:
        raise error_class(f"cannot import {what} {path!r}: write it as module.name")
    try:
        found = importlib.import_module(module_name)
        for name in names.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise error_class(f"cannot import {what} {path!r}: {reason(error)}") from error
    return found


def reason(error: Exception) -> str:
    """Return the text of an error of project code, with its place and a remedy."""
    plain = isinstance(error, ConfigurationError) or type(error) in (ImportError, ModuleNotFoundError, AttributeError)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = f"{'' if plain else type(error).__name__ + ': '}{text.strip()}{place(error)}"
    name = error.name if isinstance(error, ImportError) else None
    hidden = hidden_package() if name is not None and name.partition(".")[0] == "workers" else None
    return f"{said}. {hidden}" if hidden else said


def place(error: Exception) -> str:
    """Return `` (file, line n)`` of an error, or nothing outside of project code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", f"{_OWN_FOLDER}/")) or filename == importlib.__file__


def hidden_package() -> str | None:
    """
    Return a warning when the project has a module ``workers``, too, or None.

    Python imports the first that it finds, and the other is out of reach.
    """
    for entry in sys.path:
        folder = Path(entry or ".").absolute()
        if (folder / "asgi_redis" / "__init__.py").exists():
            continue  # this distribution, or another copy of it
        found = [folder / "workers.py", *sorted((folder / "workers").glob("*.py"))]
        if any(path.exists() for path in found):
            other = found[0] if found[0].exists() else folder / "workers"
            return (
                f"{other} is hidden by {_OWN_FOLDER}: both are called workers, and Python imports only one of them; "
                f"rename that of the project"
            )
    return None
