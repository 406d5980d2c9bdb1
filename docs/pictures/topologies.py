"""
Draws ``topologies.txt``: ``python docs/pictures/topologies.py [DIRECTORY]``.

It writes ``topology-<name>.svg`` for each picture, by default into the directory of this file. The head of the text
explains its format.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from html import escape
from pathlib import Path

HERE = Path(__file__).parent

BOX_WIDTH, BOX_HEIGHT = 168, 46
COLUMN_GAP, ROW_GAP = 66, 26
MARGIN, TITLE, NOTE, FRAME = 34, 62, 40, 14

STYLE = """
  text { font: 12px -apple-system, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif; fill: #24292f; }
  .card { fill: #ffffff; stroke: #d0d7de; }
  .title { font-size: 15px; font-weight: 600; }
  .soft { fill: #6e7781; font-size: 11px; }
  .strong { font-weight: 600; }
  .middle { text-anchor: middle; }
  .box { fill: #f6f8fa; stroke: #8c959f; }
  .frame { fill: none; stroke: #8c959f; stroke-dasharray: 5 4; }
  .line { stroke: #1f7a5c; stroke-width: 1.5; fill: none; }
  .dotted { stroke-dasharray: 2 4; }
  .head { fill: #1f7a5c; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .card { fill: #161b22; stroke: #30363d; }
    .soft { fill: #8b949e; }
    .box { fill: #21262d; stroke: #6e7781; }
    .frame { stroke: #6e7781; }
    .line { stroke: #7fcdb1; }
    .head { fill: #7fcdb1; }
  }
"""
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
    'markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/></marker>'
)
LINE = re.compile(r"(.+?) (->|<->|\.\.\.) ([^:]+)(?:: (.+))?")


class Picture:
    """One picture: its boxes, frames, lines and notes."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self._title = title
        self._columns: list[list[tuple[str, str]]] = []
        self._frames: list[tuple[str, list[str]]] = []
        self._lines: list[tuple[str, str, str, str]] = []
        self._notes: list[str] = []

    def read(self, line: str) -> None:
        """Add one line of the text."""
        kind, _, rest = line.partition(": ")
        if kind == "column":
            boxes = [box.partition(" | ") for box in rest.split(" ; ")]
            self._columns.append([(name.strip(), below.strip()) for name, _, below in boxes])
        elif kind.startswith("frame "):
            self._frames.append((kind[len("frame ") :], rest.split(" ; ")))
        elif kind == "note":
            self._notes.append(rest)
        else:
            match = LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"not a line of a picture: {line!r}")
            self._lines.append((match[1], match[2], match[3], match[4] or ""))

    def __str__(self) -> str:
        rows = max(map(len, self._columns))
        width = 2 * MARGIN + len(self._columns) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP
        body = rows * (BOX_HEIGHT + ROW_GAP) - ROW_GAP
        top = TITLE + (FRAME + 14 if self._frames else 0)
        height = top + body + (FRAME if self._frames else 0) + NOTE
        places = {}
        for column, boxes in enumerate(self._columns):
            start = top + (body - len(boxes) * (BOX_HEIGHT + ROW_GAP) + ROW_GAP) / 2
            for row, (name, _) in enumerate(boxes):
                left = MARGIN + column * (BOX_WIDTH + COLUMN_GAP)
                places[name] = (left, start + row * (BOX_HEIGHT + ROW_GAP))
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>{STYLE}</style><defs>{HEAD}</defs>",
            f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            _text(20, 30, self._title, "title"),
        ]
        parts += [_frame(label, [places[name] for name in names]) for label, names in self._frames]
        parts += self._drawn_lines(places)
        for boxes in self._columns:
            for name, below in boxes:
                left, y = places[name]
                parts.append(
                    f'<rect class="box" x="{left}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
                )
                parts.append(_text(left + BOX_WIDTH / 2, y + 20, name, "strong middle"))
                parts.append(_text(left + BOX_WIDTH / 2, y + 36, below, "soft middle"))
        parts += [_text(20, height - 14, note, "soft") for note in self._notes]
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _drawn_lines(self, places: dict[str, tuple[float, float]]) -> list[str]:
        # The lines at one side of a box share it, in the order of where they lead to.
        sides: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for start, _, end, _ in self._lines:
            rightwards = places[start][0] < places[end][0]
            sides[start, rightwards].append(end)
            sides[end, not rightwards].append(start)
        for others in sides.values():
            others.sort(key=lambda name: places[name][1])
        drawn = []
        for start, kind, end, label in self._lines:
            rightwards = places[start][0] < places[end][0]
            ends, points = [], []
            for name, other, right in ((start, end, rightwards), (end, start, not rightwards)):
                left, y = places[name]
                others = sides[name, right]
                x = left + BOX_WIDTH + 3 if right else left - 3
                points.append((x, y + BOX_HEIGHT * (others.index(other) + 1) / (len(others) + 1)))
                ends.append(f"{x:g} {points[-1][1]:.1f}")
            heads = {"->": ' marker-end="url(#head)"', "...": ""}.get(
                kind, ' marker-start="url(#head)" marker-end="url(#head)"'
            )
            look = "line dotted" if kind == "..." else "line"
            drawn.append(f'<path class="{look}" d="M{ends[0]} L{ends[1]}"{heads}/>')
            if label:
                (x1, y1), (x2, y2) = points
                drawn.append(_text((x1 + x2) / 2, (y1 + y2) / 2 - 6, label, "soft middle"))
        return drawn


def _frame(label: str, corners: list[tuple[float, float]]) -> str:
    left, top = min(x for x, _ in corners) - FRAME, min(y for _, y in corners) - FRAME
    right, bottom = max(x for x, _ in corners) + BOX_WIDTH + FRAME, max(y for _, y in corners) + BOX_HEIGHT + FRAME
    frame = (
        f'<rect class="frame" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" rx="8"/>'
    )
    return frame + "\n" + _text(left + 4, top - 6, label, "soft")


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'


def read(text: str) -> list[Picture]:
    """Return the pictures of a text."""
    pictures: list[Picture] = []
    for line in text.splitlines():
        if line.startswith("picture "):
            name, _, title = line[len("picture ") :].partition(": ")
            pictures.append(Picture(name, title))
        elif line and not line.startswith("#"):
            pictures[-1].read(line)
    return pictures


def main(directory: Path) -> None:
    """Write all pictures."""
    for picture in read((HERE / "topologies.txt").read_text()):
        (directory / f"topology-{picture.name}.svg").write_text(str(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
