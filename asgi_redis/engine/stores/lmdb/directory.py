"""
The directories of the stores.

There is a private one for each user, and in it one for each prefix. On Linux they are under ``/dev/shm``, in memory;
elsewhere in the directory for temporary files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import string
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from asgi_redis.engine.stores.lmdb.lmdb_file import DATA
from asgi_redis.engine.stores.lmdb.wakeup_sockets import wake_all
from asgi_redis.exceptions import ConfigurationError, UnusableStore

_LONGEST_SOCKET_PATH = 103  # on macOS; Linux has 107
_MOST_LINKS = 40
_SOCKET_NAME = "4194304-4294967295"


def default_base() -> Path:
    """Return the default directory for the stores of this user."""
    parent = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())  # noqa: S108  checked
    return trusted(parent / f"asgi-redis-ipc-{os.geteuid()}")


def trusted(path: Path) -> Path:
    """
    Return ``path`` made absolute and without links, whether it exists or not.

    Raise ``UnusableStore`` where another user than this one and root could lead it elsewhere.
    """
    found, *names = Path(os.path.abspath(path)).parts  # noqa: PTH100  pathlib's way follows links
    place, ahead, links = Path(found), names[::-1], 0
    while ahead:
        name = ahead.pop()
        if name == "..":
            place = place.parent
            continue
        entry = place / name
        try:
            status = _trusted_entry(place, entry)
        except FileNotFoundError:
            return entry.joinpath(*reversed(ahead))
        if not stat.S_ISLNK(status.st_mode):
            place = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UnusableStore(f"{path} has too many links in it")
        target = entry.readlink()
        place = Path("/") if target.is_absolute() else place
        ahead += reversed(target.parts[target.is_absolute() :])
    return place


def _trusted_entry(parent: Path, entry: Path) -> os.stat_result:
    mode = parent.lstat().st_mode
    status = entry.lstat()
    open_to_all = mode & stat.S_IWOTH
    if open_to_all and not mode & stat.S_ISVTX:
        raise UnusableStore(f"{parent} is open to all users, who could replace {entry.name} in it")
    if (open_to_all or stat.S_ISLNK(status.st_mode)) and status.st_uid not in (os.geteuid(), 0):
        raise UnusableStore(f"{entry} belongs to user {status.st_uid}, not to this one, {os.geteuid()}, nor to root")
    return status


def directory_for(prefix: str, base: Path) -> Path:
    """Return the directory of the store for ``prefix``."""
    if not isinstance(prefix, str) or not prefix:
        raise ConfigurationError(f"prefix must be a str, and not empty, not {prefix!r}")
    directory = base / ("=" + "".join(map(_quoted, prefix)))  # "=": neither "." nor ".."
    if len(os.fsencode(directory / _SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            f"{directory} is too long for the sockets in it: path and prefix may have "
            f"{_LONGEST_SOCKET_PATH - len(_SOCKET_NAME) - 1} bytes"
        )
    return directory


def _quoted(character: str) -> str:
    # To the file systems of macOS "A" and "a" are one.
    if sys.platform == "darwin" and character in string.ascii_uppercase:
        return f"%{ord(character):02X}"
    return urllib.parse.quote(character, safe="")


def prefix_of(directory: Path) -> str:
    """Return the prefix that ``directory_for`` was given."""
    return urllib.parse.unquote(directory.name[1:])


def stores_in(base: Path) -> list[Path]:
    """Return the directories of all stores in ``base``."""
    return sorted(path for path in base.glob("=*") if path.is_dir()) if base.is_dir() else []


def make(directory: Path) -> None:
    """Make a private directory, and its parents, or check the existing one."""
    trusted(directory)  # before anything is made in a directory of others
    base = directory.parent
    for path in reversed(base.parents):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o755)
    for path in (base, directory):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
    base_status = base.lstat()
    if base_status.st_uid not in (os.geteuid(), 0) or (
        base_status.st_mode & 0o022 and not base_status.st_mode & stat.S_ISVTX
    ):
        raise UnusableStore(f"{base} must belong to this user, {os.geteuid()}, and not be writable by others")
    check_private(directory)


def check_private(directory: Path) -> None:
    """Raise ``UnusableStore`` unless it is a private directory of this user."""
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or trusted(directory) != directory:
        raise UnusableStore(f"{directory} must be a directory, and not a link to one")
    if status.st_uid != os.geteuid():
        raise UnusableStore(f"{directory} belongs to user {status.st_uid}, not to this one, {os.geteuid()}")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise UnusableStore(f"{directory} is open to other users (mode {mode:o}): it must be 700")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """
    Hold the lock that is needed to open, grow or remove the store.

    Raise ``FileNotFoundError`` if there is no store.
    """
    while True:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # The last holder of the lock may have removed the directory, and another process made it anew.
            if os.path.samestat(os.fstat(fd), directory.lstat()):
                yield
                return
        finally:
            # Closing is not enough: gevent's ``os.close`` may do so later, and a forked child has the file open too.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def remove(directory: Path) -> None:
    """Remove a ``locked`` store. Its users make a new one within a second."""
    (directory / DATA).unlink(missing_ok=True)  # from here on other processes see that it is gone
    wake_all(directory)
    while True:
        for path in directory.iterdir():
            path.unlink(missing_ok=True)
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # a receiver has made a socket meanwhile
                raise
        else:
            return


def boot() -> str:
    """Return an id of this start of the machine, where the system has one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""
