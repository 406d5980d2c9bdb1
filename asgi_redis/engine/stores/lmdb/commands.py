"""The commands of ``asgi-redis ipc``."""

from __future__ import annotations

import pwd
import sys
from collections.abc import Iterable
from pathlib import Path

from asgi_redis.engine.stores.lmdb import directory as places
from asgi_redis.engine.stores.lmdb import lmdb_file
from asgi_redis.engine.stores.lmdb.directory import default_base, trusted
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.exceptions import UnusableStore

__all__ = ["default_base", "list_stores", "remove_stores", "trusted"]

_MAX_BYTES = 1 << 20  # LMDB takes the length of the store, if it is larger


def list_stores(base: Path) -> int:
    """Print a line for each store in ``base``. Return 0, or 1 if one cannot be read."""
    stores = places.stores_in(base)
    if not stores:
        _print(f"no IPC stores in {base}")
        return 0
    rows = [("PREFIX", "USER", "MESSAGES", "GROUPS", "BYTES", "PROCESSES", "PATH")]
    unreadable = []
    for directory in stores:
        users = " ".join(map(str, lmdb_file.users(directory))) or "-"
        messages, groups, size = "?", "?", "?"
        store = LMDBStore(directory, _MAX_BYTES, repair=False)
        try:
            messages, groups, size = map(str, store.contents())
        except UnusableStore as error:
            unreadable.append(error)
        finally:
            store.close()
        prefix = places.prefix_of(directory)
        rows.append((prefix, _owner(directory), messages, groups, size, users, str(directory)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        _print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    for problem in unreadable:
        print(f"asgi-redis: {problem}", file=sys.stderr)  # noqa: T201  a command
    return 1 if unreadable else 0


def remove_stores(base: Path, prefixes: Iterable[str] | None, force: bool) -> int:
    """Remove stores. Return 0, or 1 where one is missing or in use."""
    if prefixes is None:
        directories = places.stores_in(base)
    else:
        directories = [places.directory_for(prefix, base) for prefix in prefixes]
    failed = 0
    for directory in directories:
        prefix = places.prefix_of(directory)
        try:
            places.check_private(directory)
            with places.locked(directory):
                users = lmdb_file.users(directory)
                if users and not force:
                    pids = ", ".join(map(str, users))
                    raise UnusableStore(f"the store {prefix} is open in processes {pids}: stop them, or add --force")
                places.remove(directory)
        except FileNotFoundError:
            failed += 1
            print(f"asgi-redis: there is no store {prefix} in {base}", file=sys.stderr)  # noqa: T201  a command
        except UnusableStore as error:
            failed += 1
            print(f"asgi-redis: {error}", file=sys.stderr)  # noqa: T201  a command
        else:
            _print(f"removed {prefix}")
    return 1 if failed else 0


def _owner(directory: Path) -> str:
    uid = directory.lstat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _print(text: str) -> None:
    print(text)  # noqa: T201  a command
