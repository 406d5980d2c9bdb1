"""
What a reader does with a captioned block: write a file, or change one.

The caption says it. ``mysite/routing.py`` is a whole file; ``mysite/settings.py (add at the end)`` adds to one; and
``mysite/settings.py (replace INSTALLED_APPS)`` takes the place of that assignment, function or class of the module.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

CAPTION = re.compile(r"(?P<path>[\w./-]+)(?: \((?:(?P<end>add at the end)|replace (?P<name>\w+))\))?")


def apply(caption: str, code: str, folder: Path) -> None:
    """Do it in the folder of the project."""
    found = CAPTION.fullmatch(caption)
    assert found, f"the caption {caption!r} says neither which file the block is, nor how it changes one"
    path = folder / found["path"]
    if found["end"]:
        path.write_text(f"{path.read_text()}\n{code}")
    elif found["name"]:
        path.write_text(_with_replacement(path.read_text(), found["name"], code))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)


def _with_replacement(module: str, name: str, code: str) -> str:
    lines = module.split("\n")
    for node in ast.parse(module).body:
        if name in _names(node):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            assert node.end_lineno is not None
            return "\n".join([*lines[: first - 1], code.rstrip("\n"), *lines[node.end_lineno :]])
    raise AssertionError(f"there is no {name} to replace")


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
