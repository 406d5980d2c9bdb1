"""``redis-scripts``: the scripts that run in Redis, from their headers."""

from __future__ import annotations

from pathlib import Path

import asgi_redis
from declarations.generated import GeneratedDirective, indented

FOLDER = Path(asgi_redis.__file__).parent / "wire" / "lua"


class RedisScripts(GeneratedDirective):
    """``.. redis-scripts::``: each script, with the first sentence of its header."""

    def text(self) -> str:
        """Return a definition for each script."""
        scripts = [path for path in sorted(FOLDER.glob("*.lua")) if not path.name.startswith("_")]
        return "\n".join(f"``{path.stem}``\n{indented(purpose(path))}\n" for path in scripts)


def purpose(path: Path) -> str:
    """Return the first paragraph of a script's header."""
    lines = path.read_text().split("\n")
    return " ".join(line[3:] for line in lines[: lines.index("--")])
