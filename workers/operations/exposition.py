"""
Metrics as text, in the format that Prometheus reads.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Not by ``prometheus_client``: for 5,000
channels it takes a second or two of processor time for each scrape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_FAMILY = "# HELP "


def labels(values: Mapping[str, str]) -> str:
    """Return labels as they follow the name of a sample, without the braces."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in values.items())


def sample(name: str, labelled: str, value: float) -> str:
    """Return the line of one sample, with the labels that ``labels`` has returned."""
    return f"{name}{{{labelled}}} {value}\n" if labelled else f"{name} {value}\n"


def heading(name: str, kind: str, text: str) -> str:
    """Return the lines before the samples of a metric; ``text`` is its help text."""
    return f"{_FAMILY}{name} {text}\n# TYPE {name} {kind}\n"


def family(name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> str:
    """Return a metric with one sample for each pair of labels and a value."""
    return heading(name, kind, text) + "".join(sample(name, labelled, value) for labelled, value in values)


def merged(texts: Iterable[str]) -> str:
    """Return several texts as one, with all samples of a metric in one place."""
    families: dict[str, list[str]] = {}
    for text in texts:
        for block in text.split(_FAMILY)[1:]:
            help_line, type_line, samples = block.split("\n", 2)
            families.setdefault(f"{_FAMILY}{help_line}\n{type_line}\n", []).append(samples)
    return "".join(heading + "".join(samples) for heading, samples in families.items())
