"""
The script ``runworker``.

It is not in ``workers``, because a package of the project may have that name, too, and be found first. It imports
nothing that gevent may have to patch.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> int:
    """Run the command; return the exit code."""
    ours = Path(__file__).parent.parent / "workers" / "__init__.py"
    found = find_spec("workers")
    theirs = found and (found.origin or ", ".join(found.submodule_search_locations or ()))
    if theirs and Path(theirs) != ours:
        sys.stderr.write(
            f"runworker: error: {theirs} hides {ours.parent}: both are called workers, and Python imports only one; "
            f"rename that of the project\n"
        )
        return 1
    from workers.__main__ import main as run  # only now

    return run()
