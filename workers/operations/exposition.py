"""
Metrics as text, in the format that Prometheus reads: https://prometheus.io/docs/instrumenting/exposition_formats/.

Not by ``prometheus_client``: for 5,000 channels it takes a second or two of processor time for each scrape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_FAMILY = "# HELP "


def labels(values: Mapping[str, str]) -> str:
    """Returns labels as they follow the name of a sample, without the braces."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in values.items())


def sample(name: str, labelled: str, value: float) -> str:
    """Returns the line of one sample; ``labelled`` is what ``labels`` returns."""
    return f"{name}{{{labelled}}} {value}\n" if labelled else f"{name} {value}\n"


def family(name: str, kind: str, text: str, samples: Iterable[str]) -> str:
    """Returns the samples of one metric, all of the same ``kind``, with what it is."""
    return f"{_FAMILY}{name} {text}\n# TYPE {name} {kind}\n{''.join(samples)}"


def merged(texts: Iterable[str]) -> str:
    """Returns the metrics of several texts as one, in which each metric has all its samples in one place."""
    families: dict[str, list[str]] = {}
    for text in texts:
        for block in text.split(_FAMILY)[1:]:
            help_line, type_line, samples = block.split("\n", 2)
            families.setdefault(f"{_FAMILY}{help_line}\n{type_line}\n", []).append(samples)
    return "".join(heading + "".join(samples) for heading, samples in families.items())
