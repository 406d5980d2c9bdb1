"""``error-tree`` and ``error-list``: the exceptions of modules."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from declarations.generated import GeneratedDirective


class ErrorTree(GeneratedDirective):
    """
    ``.. error-tree:: MODULE ...``: their exceptions as a tree, below the built-in one.

    An exception with several bases is below the first of them, and the others are named with it.
    """

    required_arguments = 1
    final_argument_whitespace = True

    def text(self) -> str:
        """Return nested lists."""
        errors = [error for module in self.arguments[0].split() for error in errors_of(module)]
        roots = [error for error in errors if error.__bases__[0] not in errors]
        return "\n".join(line for root in roots for line in branch(root, errors, 0))


class ErrorList(GeneratedDirective):
    """``.. error-list:: MODULE``: each of its exceptions, with its documentation."""

    required_arguments = 1

    def text(self) -> str:
        """Return a directive of autodoc for each."""
        module = self.arguments[0]
        return "\n".join(
            f".. autoexception:: {module}.{error.__name__}\n   :members:\n" for error in errors_of(module)
        )


def errors_of(module: str) -> Iterator[type[BaseException]]:
    """Yield the public exceptions that a module defines."""
    for name, error in vars(importlib.import_module(module)).items():
        is_error = isinstance(error, type) and issubclass(error, BaseException)
        if is_error and error.__module__ == module and not name.startswith("_"):
            yield error


def branch(error: type[BaseException], errors: list[type[BaseException]], depth: int) -> Iterator[str]:
    """Yield the lines of an exception and of those below it."""
    others = [f"``{base.__name__}``" for base in error.__bases__ if depth == 0 or base is not error.__bases__[0]]
    also = f" ({', '.join(others)})" if others else ""
    yield f"{'  ' * depth}* :exc:`~{error.__module__}.{error.__name__}`{also}"
    below = [one for one in errors if one.__bases__[0] is error]
    if below:
        yield ""
        for one in below:
            yield from branch(one, errors, depth + 1)
        yield ""
