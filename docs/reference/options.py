"""
Writes ``options.rst``, the reference of the options, from their declarations: ``python docs/reference/options.py``.

Each class that declares options is a section, and the flags of ``runworker`` are the last.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from pathlib import Path

from asgi_redis.aio.cluster import AsyncClusterOptions
from asgi_redis.layers import options
from asgi_redis.layers.cluster import ClusterOptions
from asgi_redis.layers.cluster_nodes import ClusterNodesOptions
from asgi_redis.layers.local import LocalOptions
from asgi_redis.layers.pubsub import PubSubOptions
from workers.command.cli import CommandOptions

LAYERS = {
    "RedisChannelLayer": options.RedisOptions,
    "RedisSentinelChannelLayer": options.SentinelOptions,
    "RedisClusterChannelLayer": ClusterOptions,
    "RedisLocalChannelLayer": LocalOptions,
    "RedisPubSubChannelLayer": PubSubOptions,
    "IPCChannelLayer": options.IPCOptions,
    "InMemoryChannelLayer": options.CommonOptions,
    "aio.RedisChannelLayer": options.AsyncRedisOptions,
    "aio.RedisClusterChannelLayer": AsyncClusterOptions,
    "aio.RedisPubSubChannelLayer": PubSubOptions,
}
HEAD = """\
Options
=======

The keyword arguments of each layer, which are the keys of ``CONFIG`` in Django's ``CHANNEL_LAYERS``, with their types
and defaults; and the flags of the worker. ``python docs/reference/options.py`` has written this page from the
declarations. :doc:`The layers </howto/choose_a_layer>` tell more of some.
"""
MEBIBYTE = 1024 * 1024


def page() -> str:
    """Return the text of the page."""
    kinds = [kind for kind in vars(options).values() if getattr(kind, "__total__", None) is False]
    parts, seen = [HEAD], set()
    for kind in [*kinds, ClusterNodesOptions, ClusterOptions, LocalOptions, PubSubOptions]:
        new = [entry for entry in options.declarations(kind).items() if entry not in seen]
        seen.update(new)
        if new:
            parts.append(section(kind, new))
    return "\n".join([*parts, flags()])


def flags() -> str:
    """Return the section of the worker's flags."""
    title = "Flags of the worker"
    parts = [f"{title}\n{'-' * len(title)}\n"]
    parts.append("``manage.py runworker`` has the flags up to ``--verbosity``, ``runworker`` has all of them.\n")
    for field in dataclasses.fields(CommandOptions):
        value = field.metadata.get("metavar") or "|".join(map(str, field.metadata.get("choices", ())))
        flag = value if "nargs" in field.metadata else f"--{field.name.replace('_', '-')} {value}".rstrip()
        parts.append(f"``{flag}``\n    {wrapped(field.metadata['help'] % {'default': field.default}, 4)}\n")
    return "\n".join(parts)


def section(kind: type, entries: list[tuple[str, options.Option]]) -> str:
    """Return the section of the options that a class declares."""
    title = kind.__doc__.removeprefix("Options of ").rstrip(".")
    title = title[0].upper() + title[1:]
    takers = [f"``{layer}``" for layer, taken in LAYERS.items() if entries[0] in options.declarations(taken).items()]
    parts = [f"{title}\n{'-' * len(title)}\n"]
    if 1 < len(takers) < len(LAYERS):
        parts.append(wrapped(f"These are {', '.join(takers)}.") + "\n")
    for name, option in entries:
        signature = f"{name}: {shown_type(option.type)} = {shown_default(option.default)}"
        parts.append(f"``{signature}``\n    {wrapped(option.help, 4)}\n")
    return "\n".join(parts)


def shown_type(kind: object) -> str:
    """Return a type without the modules of its names."""
    return kind.__name__ if type(kind) is type else re.sub(r"\b(?:\w+\.)+", "", repr(kind))


def shown_default(value: object) -> str:
    """Return a default as code."""
    if isinstance(value, int) and value and value % MEBIBYTE == 0:
        return f"{value // MEBIBYTE} * 1024 * 1024"
    return repr(value).replace("'", '"')


def wrapped(text: str, indent: int = 0) -> str:
    """Return a paragraph in lines of 118 characters at most."""
    return textwrap.fill(text, 118 - indent, break_long_words=False, break_on_hyphens=False).replace(
        "\n", "\n" + " " * indent
    )


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".rst")
    path.write_text(page())
