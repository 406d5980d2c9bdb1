"""``layer-options``: the options that a class declares."""

from __future__ import annotations

import inspect
import re

from sphinx.util.typing import stringify_annotation

import asgi_redis
from asgi_redis import aio
from asgi_redis.layers.declaration import Option, declarations
from declarations.generated import GeneratedDirective, imported, indented

_MEBIBYTE = 1024 * 1024
# AsyncChannelLayer has no options of layers: it takes a layer.
LAYERS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (asgi_redis, aio)
    for name in module.__all__
    if name.endswith("ChannelLayer") and name != "AsyncChannelLayer"
}


class LayerOptions(GeneratedDirective):
    """
    ``.. layer-options:: MODULE.CLASS``: what that class declares.

    Options that the page has already, such as those of a base class, are left out. ``:only:`` names those to show. A
    field of the content, such as ``:capacity: More of it.``, adds text to an option.
    """

    required_arguments = 1
    has_content = True
    option_spec = {"only": str.split}

    def text(self) -> str:
        """Return an entry for each option."""
        shown: list[tuple[str, Option]] = self.env.temp_data.setdefault("declared options", [])
        declared = declarations(imported(self.arguments[0]))
        names = self.options.get("only", declared)
        options = {name: declared[name] for name in names if (name, declared[name]) not in shown}
        additions = self.additions(options)
        parts = []
        for name, option in options.items():
            is_second = any(name == other for other, _ in shown)  # an anchor and an index entry are for the first
            parts.append(self._entry(name, option, additions.get(name, ""), is_second))
            shown.append((name, option))
        return "\n".join(parts)

    def _entry(self, name: str, option: Option, addition: str, is_second: bool) -> str:
        lines = [f".. confval:: {name}", *(["   :no-index:"] if is_second else [])]
        lines += [f"   :type: ``{shown_type(option.type)}``", f"   :default: ``{shown_default(option.default)}``", ""]
        paragraphs = [option.help, addition, f'Example: ``"{name}": {option.example}``']
        takers = takers_of(name, option)
        if 0 < len(takers) < len(LAYERS):
            links = [f":class:`{path.removeprefix('asgi_redis.')} <{path}>`" for path in takers]
            paragraphs.append(f"Layers: {', '.join(links)}.")
        body = indented("\n\n".join(paragraph for paragraph in paragraphs if paragraph))
        return "\n".join([*lines, body, ""])


def takers_of(name: str, option: Option) -> list[str]:
    """Return the paths of the layers that take an option."""
    found = []
    for path, layer in LAYERS.items():
        parameter = inspect.signature(layer).parameters.get(name)
        if parameter is not None and (parameter.annotation, parameter.default) == (option.type, option.default):
            found.append(path)
    return found


def shown_type(kind: object) -> str:
    """Return a type as today's Python writes it, without the modules of its names."""
    return re.sub(r"\b(?:\w+\.)+", "", stringify_annotation(kind))


def shown_default(value: object) -> str:
    """Return a default as code."""
    if isinstance(value, int) and value and value % _MEBIBYTE == 0:
        return f"{value // _MEBIBYTE} * 1024 * 1024"
    return repr(value).replace("'", '"')
