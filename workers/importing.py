"""Imports of what the project has, by paths, and what to say about those that fail."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from typing import Any

from workers import shadowing
from workers.exceptions import ConfigurationError

_OWN_FILES = f"{Path(__file__).parent}/"


def import_path(path: str, what: str, error_class: type[ConfigurationError] = ConfigurationError) -> Any:
    """
    Returns what ``module.name`` stands for; also ``module:name``, whose name may have dots in it.

    Raises ``error_class`` whatever the modules on the way raise; its text has ``what``, the reason and its line.
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
    """Returns what an error of the project's code says, with its file and line, and the cure where it is known."""
    plain = isinstance(error, ConfigurationError) or type(error) in (ImportError, ModuleNotFoundError, AttributeError)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = f"{'' if plain else type(error).__name__ + ': '}{text.strip()}{place(error)}"
    cure = shadowing.hint(error)
    return f"{said}. {cure}" if cure else said


def place(error: Exception) -> str:
    """Returns where the project's code has raised an error, as `` (file, line n)``; nothing if it was other code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OWN_FILES)) or filename == importlib.__file__
