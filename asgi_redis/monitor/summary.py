"""The lines above the tables: a layer at a glance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from asgi_redis.monitor.cells import count, latency, printable, rate
from asgi_redis.monitor.snapshot import Row, Snapshot
from asgi_redis.monitor.tables import GAP, UNKNOWN


def summary(snapshot: Snapshot, width: int | None = None) -> list[str]:
    """
    Return the lines above the tables.

    Parts of the counts that do not fit into ``width`` characters are left out.
    """
    made = [f"{printable(snapshot['layer'])}  {time.strftime('%H:%M:%S', time.localtime(snapshot['time']))}"]
    made += [_joined(parts, width) for parts in (_of_messages(snapshot), _of_processes(snapshot))]
    return [*made, *([f"error: {printable(snapshot['error'])}"] if snapshot["error"] else [])]


def _joined(parts: list[str], width: int | None) -> str:
    """Return the first parts that fit: half a number would be another one."""
    left = len(parts)
    while width is not None and left > 1 and len(GAP.join(parts[:left])) > width:
        left -= 1
    return GAP.join(parts[:left])


def _of_messages(snapshot: Snapshot) -> list[str]:
    totals, delayed = snapshot["totals"], snapshot["delayed"]
    lost = {"channel_full_count": "refused", "messages_expired": "expired", "messages_undecodable": "undecodable"}
    return [
        f"waiting {_known(totals, 'waiting', count)}{'' if snapshot['complete'] else ' (still counting)'}",
        f"in {_known(totals, 'in_per_second', rate)}/s",
        f"out {_known(totals, 'out_per_second', rate)}/s",
        *(f"{word} {count(totals[key])}" for key, word in lost.items() if totals.get(key)),
        f"channels {_known(totals, 'channels', count)}",
        f"groups {_known(totals, 'groups', count)}",
        f"delayed {count(delayed['messages'] + delayed['waiting_for_room'])}",
    ]


def _of_processes(snapshot: Snapshot) -> list[str]:
    workers = [row for row in snapshot["processes"] if row.get("role") == "worker"]
    others = [row for row in snapshot["processes"] if row.get("role") != "worker"]
    made = [f"workers {len(workers)} ({_sum(workers, 'busy')} of {_sum(workers, 'slots')} slots busy)"]
    if others:
        made.append(f"interfaces {len(others)} ({_sum(others, 'sockets')} sockets)")
    bad = [server["name"] for server in snapshot["servers"] if server["error"]]
    slowest = max((server["latency"] for server in snapshot["servers"] if not server["error"]), default=None)
    servers = f"servers {len(snapshot['servers'])}{'' if slowest is None else f' ({latency(slowest)})'}"
    return [f"{servers}, cannot reach {', '.join(bad)}", *made] if bad else [*made, servers]


def _sum(rows: Iterable[Row], key: str) -> str:
    return count(sum(row[key] for row in rows if isinstance(row.get(key), (int, float))))


def _known(row: Row, key: str, text: Callable[[Any], str]) -> str:
    return UNKNOWN if row.get(key) is None else text(row[key])
