"""
Directives that render the declarations of the code: options, flags, exceptions, exit codes, scripts.

Each makes text in reStructuredText, so that it has the anchors, references and entries in the index that Sphinx gives
to hand-written text.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from declarations.errors import ErrorList, ErrorTree
from declarations.exits import ExitCodes
from declarations.flags import CommandFlags
from declarations.options import LayerOptions
from declarations.scripts import RedisScripts


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives to Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", hide_signature_of_protocol)
    app.add_directive("command-flags", CommandFlags)
    app.add_directive("error-list", ErrorList)
    app.add_directive("error-tree", ErrorTree)
    app.add_directive("exit-codes", ExitCodes)
    app.add_directive("layer-options", LayerOptions)
    app.add_directive("redis-scripts", RedisScripts)
    return {"parallel_read_safe": True}


def hide_signature_of_protocol(_app: Sphinx, what: str, _name: str, value: Any, *_: Any) -> tuple[str, None] | None:
    """Show protocols without arguments: they are not called."""
    return ("", None) if what == "class" and getattr(value, "_is_protocol", False) else None
