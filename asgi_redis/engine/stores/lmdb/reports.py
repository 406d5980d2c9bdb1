"""The reports of processes in a store, and requests to them."""

from __future__ import annotations

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.records import FIRST_REPORT, REPORT, Txn
from asgi_redis.engine.stores.lmdb.sweeper import Sweeper
from asgi_redis.engine.stores.store import StoredReport
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.registry import REPORT_EXPIRY_SECONDS

_READ_AT_ONCE = 50  # reports, so that no process waits long for the writer's lock


def add(environment: Environment, txn: Txn, at: float, sweeper: Sweeper, process: str, report: bytes) -> str | None:
    """Store the report of a process; return the request to it that was left meanwhile."""
    if at >= sweeper.next:
        sweeper.sweep(txn, at)
    key = FIRST_REPORT + process.encode()
    value = txn.get(key)
    _put(environment, txn, key, REPORT.pack(at, 0) + report)
    return (value and _parts(value)[1].decode()) or None


def discard(environment: Environment, txn: Txn, at: float, process: str) -> None:
    """Remove the report of a process, and a request to it."""
    txn.delete(FIRST_REPORT + process.encode())


def ask(environment: Environment, txn: Txn, at: float, process: str, request: str) -> bool:
    """Leave a request for a process; return whether there is a report of it."""
    key = FIRST_REPORT + process.encode()
    value = txn.get(key)
    if value is None:
        return False
    reported, _, report = _parts(value)
    if is_expired(at - reported, REPORT_EXPIRY_SECONDS):
        return False
    text = request.encode()
    _put(environment, txn, key, REPORT.pack(reported, len(text)) + text + report)
    return True


def some(environment: Environment, txn: Txn, at: float, start: bytes) -> tuple[list[StoredReport], bytes | None]:
    """Return reports from the key ``start`` on, and where to go on; None at the end."""
    reports: list[StoredReport] = []
    with txn.cursor() as cursor:
        if cursor.set_range(start):
            for number, (key, value) in enumerate(cursor):
                if not key.startswith(FIRST_REPORT):
                    break
                if number == _READ_AT_ONCE:
                    return reports, key
                reported, _, report = _parts(value)
                if not is_expired(at - reported, REPORT_EXPIRY_SECONDS):
                    reports.append(StoredReport(key[len(FIRST_REPORT) :].decode(), at - reported, report))
    return reports, None


def _put(environment: Environment, txn: Txn, key: bytes, value: bytes) -> None:
    # Not bounded by ``max_bytes``: a process has to be seen most of all while the store is full.
    environment.data.keep_spare(len(value))
    txn.put(key, value)


def _parts(value: bytes) -> tuple[float, bytes, bytes]:
    reported, length = REPORT.unpack_from(value)
    start = REPORT.size + length
    return reported, value[REPORT.size : start], value[start:]
