"""
Measured numbers in the pages of the site, from ``benchmarks/results``.

``:measured:`` is a number in a sentence, with two significant digits; two columns with " : " between them are the
ratio of their values::

    :measured:`ipc/rates/send, 1 task/asgi_redis`
    :measured:`ipc/rates/send, 1 task/asgi_redis : channels_redis`

``measured-table`` is a table, or some of its rows and columns, and what measured it, when and where::

    .. measured-table:: ipc/rates
       :columns: asgi_redis | channels_redis
       :rows: send, 1 task | receive, 1 task
       :head: call

An address that leads to nothing is a warning, which ends the build of the site.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from benchmarks.figures.published import RESULTS, TIMES, Published, Row, Table, UnknownAddressError, exact, rounded

logger = logging.getLogger(__name__)


@cache
def _published(folder: str) -> Published:
    return Published(Path(folder))


class Measured(SphinxRole):
    """The role ``measured``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the number."""
        address = " ".join(self.text.split())  # it may be over two lines
        try:
            return [nodes.Text(rounded(_results(self.env, address).value(address)))], []
        except UnknownAddressError as error:
            logger.warning("%s", error, location=self.get_location())
            return [], []


class MeasuredTable(SphinxDirective):
    """The directive ``measured-table``."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec = dict.fromkeys(("columns", "rows", "head"), directives.unchanged)

    def run(self) -> list[nodes.Node]:
        """Return the table and its note."""
        address = self.arguments[0]
        try:
            table = _results(self.env, address).table(address)
            columns, rows = table.chosen(self._listed("columns")), table.rows(self._listed("rows"))
        except UnknownAddressError as error:
            logger.warning("%s", error, location=self.get_location())
            return []
        return [self._table(columns, rows), _note(table)]

    def _listed(self, option: str) -> list[str]:
        return [" ".join(name.split()) for name in self.options.get(option, "").split("|") if name]

    def _table(self, columns: list[str], rows: list[Row]) -> nodes.table:
        head = [_cell("word", self.options.get("head", "")), *(_cell("number", name) for name in columns)]
        lines = [[_cell("word", row.name, row.unit), *_shown(row, columns)] for row in rows]
        group = nodes.tgroup(cols=len(head))
        group += [nodes.colspec(colwidth=1) for _ in head]
        group += nodes.thead("", nodes.row("", *head))
        group += nodes.tbody("", *(nodes.row("", *line) for line in lines))
        return nodes.table("", group, classes=["measured", "colwidths-auto"])


def _shown(row: Row, columns: list[str]) -> list[nodes.entry]:
    return [_cell("number", (rounded if name == TIMES else exact)(row.values[name])) for name in columns]


def _cell(kind: str, text: str, unit: str = "") -> nodes.entry:
    content = nodes.paragraph(text, text)
    if unit:
        content += [nodes.Text(" "), nodes.inline(unit, unit, classes=["unit"])]
    return nodes.entry("", content, classes=[kind])


def _note(table: Table) -> nodes.paragraph:
    """Return what measured the table, and where."""
    note = nodes.paragraph(classes=["measured-note"])
    note += [nodes.Text("Repeat it: "), nodes.literal(table.command, table.command), nodes.Text(". ")]
    note += nodes.Text(" ".join(table.about))
    return note


def _results(env: BuildEnvironment, address: str) -> Published:
    """Return the results; the page is read again when those of the benchmark have changed."""
    folder: str = env.config.measured_results
    env.note_dependency(str(Path(folder, f"{address.partition('/')[0]}.json")))
    return _published(folder)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the role, the directive, and the folder of the results as an option."""
    app.add_config_value("measured_results", str(RESULTS), "env")
    app.add_role("measured", Measured())
    app.add_directive("measured-table", MeasuredTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
