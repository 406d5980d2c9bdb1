"""``command-flags``: the flags of a command, from its parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from declarations.generated import GeneratedDirective, imported, indented

_CODE = re.compile(r"(?<!\w)--[a-z-]+|\b[A-Z]+_[A-Z_]+\b|\bMODULE:OBJECT\b|\basgi-redis \w+")


class CommandFlags(GeneratedDirective):
    """
    ``.. command-flags:: MODULE:FUNCTION [COMMAND ...]``: the flags of a parser.

    The function returns the parser; the words behind it choose a command within it. ``:only:`` names the flags to
    show, and ``:group:`` the group of the parser that they are in. A field of the content, such as
    ``:threads: More of it.``, adds text to a flag.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"group": str, "only": str.split}

    def text(self) -> str:
        """Return an entry for each flag."""
        path, *words = self.arguments[0].split()
        parser = imported(path.replace(":", "."))()
        for word in words:
            parser = commands_of(parser)[word]
        flags = {name_of(flag): flag for flag in flags_of(parser, self.options.get("group"))}
        names = self.options.get("only", flags)
        additions = self.additions(names)
        parts = [f".. program:: {parser.prog}", ""]
        for name in names:
            if name not in flags:
                raise ValueError(f"{parser.prog} has no flag {name}")
            body = "\n\n".join(text for text in (sentence(parser, flags[name]), additions.get(name, "")) if text)
            parts += [f".. option:: {spelling(flags[name])}", "", indented(body), ""]
        return "\n".join(parts)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands within a command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def flags_of(parser: argparse.ArgumentParser, group: str | None = None) -> Sequence[argparse.Action]:
    """Return the flags and arguments of a parser, or those of the group with a title."""
    no_flags = (argparse._HelpAction, argparse._SubParsersAction)
    groups = [one for one in parser._action_groups if group in (None, one.title)]
    return [flag for one in groups for flag in one._group_actions if not isinstance(flag, no_flags)]


def name_of(flag: argparse.Action) -> str:
    """Return the name of a flag without the hyphens before it."""
    return flag.option_strings[-1].lstrip("-") if flag.option_strings else flag.dest


def spelling(flag: argparse.Action) -> str:
    """Return how a flag is written, with its value."""
    choices = "" if flag.choices is None else "|".join(map(str, flag.choices))
    value = str(flag.metavar or choices or flag.dest.upper()) if flag.nargs != 0 else ""
    if not flag.option_strings:
        return f"{value} ..." if flag.nargs == "*" else value
    return ", ".join(f"{name} {value}".rstrip() for name in flag.option_strings)


def sentence(parser: argparse.ArgumentParser, flag: argparse.Action) -> str:
    """Return the help of a flag, with its default, as a sentence."""
    text = (flag.help or "") % {**vars(flag), "prog": parser.prog}
    text = text[:1].upper() + text[1:]
    text = _CODE.sub(r"``\g<0>``", text.replace("*", r"\*"))
    return text.rstrip(".") + "." if text else ""
