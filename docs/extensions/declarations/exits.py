"""``exit-codes``: the exit codes of the worker."""

from __future__ import annotations

import re

from declarations.generated import GeneratedDirective, indented
from workers.runtime.stopping import ExitCode


class ExitCodes(GeneratedDirective):
    """
    ``.. exit-codes::``: each code with its meaning.

    A field of the content, such as ``:4: More of it.``, adds text to a code.
    """

    has_content = True

    def text(self) -> str:
        """Return a definition for each code."""
        additions = self.additions([str(code.value) for code in ExitCode])
        parts = []
        for code in ExitCode:
            meaning = re.sub(r"(--[\w-]+)", r"``\1``", code.meaning[0].upper() + code.meaning[1:]) + "."
            body = "\n\n".join(text for text in (meaning, additions.get(str(code.value), "")) if text)
            parts.append(f"``{code.value}``\n{indented(body)}\n")
        return "\n".join(parts)
