"""
The results file of a benchmark: its tables, and when, how and on what each of them was measured.

``--save`` writes it, as ``benchmarks/results/NAME.json``. A table in it is one that was measured whole. Where a run
measures some of the tables of a benchmark, the others stay as they are.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from asgi_redis import __version__

from .server import redis_version

_PACKAGES = ("redis", "hiredis", "msgpack", "lmdb", "channels_redis", "channels", "Django", "uvicorn", "gevent")
RESULTS = Path(__file__).parent / "results"
Value = Optional[Union[int, float]]


class Line(NamedTuple):
    """One row of a results table: ``values`` has one for each column, or None where nothing was measured."""

    name: str
    unit: str
    values: list[Value]

    @classmethod
    def of(cls, name: str, unit: str, values: Iterable[Value]) -> Line:
        """Return a row of a part that its unit names, as "p50, µs" does."""
        part, _, unit = unit.rpartition(", ")
        return cls(f"{name}, {part}" if part else name, unit, list(values))


class Measured(NamedTuple):
    """A table of a results file. ``benchmark/table/row/column`` is the address of a value: names have no slash."""

    title: str
    columns: list[str]
    lines: list[Line]


class Conditions:
    """The clock, the machine and its load, from the beginning of a measurement to its end."""

    def __init__(self, module: str, arguments: Iterable[str]) -> None:
        self._command = shlex.join(["python", "-m", module, *arguments])
        self._began, self._load = time.monotonic(), os.getloadavg()[0]

    def end(self, method: str, versions: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the conditions of what was measured; ``versions`` are those of this interpreter, if not given."""
        return {
            "command": self._command,
            "date": time.strftime("%Y-%m-%d"),
            "seconds": round(time.monotonic() - self._began),
            "method": method,
            "machine": {
                "cpu": _cpu_model(),
                "cpus": os.cpu_count(),
                "kernel": f"{platform.system()} {platform.release()}",
                "load_before": round(self._load, 2),
                "load_after": round(os.getloadavg()[0], 2),
            },
            "versions": {"redis-server": redis_version(), **(installed() if versions is None else versions)},
        }


def described(conditions: Mapping[str, Any]) -> list[str]:
    """Return the conditions as lines, to be printed above the tables."""
    machine, versions = conditions["machine"], conditions["versions"]
    load = f"load average {machine['load_before']:.1f} before, {machine['load_after']:.1f} after"
    return [
        f"{conditions['method']}.",
        f"{machine['cpu']}, {machine['cpus']} CPUs; {machine['kernel']}; {load}.",
        f"{conditions['date']}; {conditions['seconds']} s in all.",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]


def save(directory: Path, benchmark: str, conditions: Mapping[str, Any], tables: Mapping[str, Measured]) -> Path:
    """
    Write the tables of a benchmark into its file; tables of other names stay there as they are.

    Raises:
        ValueError: A name has a slash or stands twice, or a line has not one value for each column.
    """
    path = directory / f"{benchmark}.json"
    written = load(path)["tables"] if path.exists() else {}
    for name, table in tables.items():
        _check(name, table)
        rows = [line._asdict() for line in table.lines]
        written[name] = {"title": table.title, **conditions, "columns": table.columns, "rows": rows}
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(_pretty({"benchmark": benchmark, "tables": written}) + "\n", encoding="utf-8")
    print(f"\nSaved: {path}")
    return path


def heading(title: str) -> str:
    """Return a title of two lines as the name of a column."""
    return title.replace("-\n", "").replace("\n-", "-").replace("\n", " ")


def load(path: Path) -> dict[str, Any]:
    """Return what is in a results file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def installed() -> dict[str, str]:
    """Return the versions of this interpreter and of the packages in it that matter."""
    names = {normalised(one.metadata["Name"]): one.version for one in importlib.metadata.distributions()}
    packages = {package: names[normalised(package)] for package in _PACKAGES if normalised(package) in names}
    return {"python": platform.python_version(), "asgi_redis": __version__, **packages}


def normalised(package: str) -> str:
    """Return the name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _check(name: str, table: Measured) -> None:
    for names in ([name], table.columns, [line.name for line in table.lines]):
        if len(names) != len(set(names)) or any("/" in one for one in names):
            raise ValueError(f"{name}: a name that stands twice or has a slash: {names}")
    for line in table.lines:
        if len(line.values) != len(table.columns):
            raise ValueError(f"{name}, {line.name}: {len(line.values)} values for {len(table.columns)} columns")


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found.group(1) if found else platform.processor()


def _pretty(value: Any, indent: str = "") -> str:
    """Return JSON with each row of a table on a line, so that a difference of two files is one of rows."""
    if not _has_objects(value):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + "  "
    if isinstance(value, list):
        parts, brackets = [_pretty(one, deeper) for one in value], "[]"
    else:
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_pretty(one, deeper)}" for key, one in value.items()]
        brackets = "{}"
    return "\n".join([brackets[0], ",\n".join(deeper + part for part in parts), indent + brackets[1]])


def _has_objects(value: Any) -> bool:
    """Return whether there are objects in a value, at any depth."""
    if isinstance(value, dict):
        return any(isinstance(one, dict) or _has_objects(one) for one in value.values())
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)
