"""Numbers in the prose of reStructuredText that look like measurements."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Blocks that are no prose: code, pictures, measured tables, comments.
_NO_PROSE = re.compile(
    r"( *)\.\. (?:(?:code-block|parsed-literal|literalinclude|image|figure|toctree|measured-table|auto\w+)::"
    r"|(?![\w-]+::))"
)
_RULE = re.compile(r" *=+( +=+)+")
_NUMBER = r"(?<![\w.,:])\d[\d,]*(?:\.\d+)?"
_WORDS = "two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|forty|fifty|a hundred|a thousand"
_UNITS = r"(?:%|(?:per ?cent|µs|us|ms|ns|s|[kKMG]i?B|times)\b|x\b(?= as))"
_RATES = r"(?:\w+ ){0,3}(?:a|per) (?:CPU )?(?:second|minute|core)\b|\w+/s\b"
MEASUREMENT = re.compile(
    rf"(?:{_NUMBER}[ -]?|\b(?:{_WORDS})[ -])(?:{_UNITS}|{_RATES})"
    r"|\d\.\d+ seconds?\b"
    r"|\b(?:twice|half) as (?:much|many|fast|long)\b"
    r"|(?<![\w.,:])\d{1,3},\d(?!00)\d\d\b"  # not a round number
)


def paragraphs(text: str) -> Iterator[str]:
    """Yield each paragraph of prose, and each line of a simple table, with single spaces."""
    text = re.sub(r"^\.\. figures: begin$.*?^\.\. figures: end$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines: list[str] = []
    skipped = None  # the indentation of the block that is no prose
    in_table = False
    for line in [*text.split("\n"), ""]:
        indent = len(line) - len(line.lstrip())
        if skipped is not None and (not line.strip() or indent > skipped):
            continue
        no_prose, rule = _NO_PROSE.match(line), _RULE.fullmatch(line)
        skipped = len(no_prose[1]) if no_prose else None
        in_table = bool(rule) or (in_table and bool(line.strip()))
        if lines and (no_prose or rule or in_table or not line.strip()):
            yield " ".join(lines)
            lines = []
        if line.strip() and not no_prose and not rule:
            lines += line.split()
            if line.rstrip().endswith("::"):
                skipped = indent


def measurements(paragraph: str) -> Iterator[re.Match[str]]:
    """Yield what looks like a measurement outside of literals and of roles of measured numbers."""
    masked = re.sub(r"``.+?``|:[\w-]+:`.+?`", lambda literal: "~" * len(literal[0]), paragraph)
    return MEASUREMENT.finditer(masked)
