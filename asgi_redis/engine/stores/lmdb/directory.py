"""
Where stores are: one directory for each user, in it one for each prefix, private to the user.

On Linux that is under ``/dev/shm``, in memory; elsewhere in the directory for temporary files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import stat
import string
import struct
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from asgi_redis.engine.stores.lmdb.mailbox import ring_all
from asgi_redis.exceptions import ConfigurationError, UnusableStore

DATA, LOCK = "data.mdb", "lock.mdb"
_LOCKS = 8192  # bytes, the length that LMDB gives to its lock file
_LONGEST_SOCKET_PATH = 103  # on macOS; Linux has 107
_PAGE = os.sysconf("SC_PAGE_SIZE")
_META = struct.Struct("=136xQQ")  # the last page and the number of the transaction in each of LMDB's two meta pages
_MOST_LINKS = 40
_MAILBOX_NAME = "4194304-4294967295"


def default_base() -> Path:
    """Returns the directory that this user's stores are in, unless another is asked for."""
    parent = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())  # noqa: S108  checked
    return trusted(parent / f"asgi-redis-ipc-{os.geteuid()}")


def trusted(path: Path) -> Path:
    """
    Returns ``path`` made absolute and without links, whether it is there or not.

    Raises ``UnusableStore`` where another user than this one and root could lead it elsewhere.
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
    """Returns the directory of the store for ``prefix``."""
    if not isinstance(prefix, str) or not prefix:
        raise ConfigurationError(f"prefix must be a str, and not empty, not {prefix!r}")
    directory = base / ("=" + "".join(map(_quoted, prefix)))  # "=": neither "." nor ".."
    if len(os.fsencode(directory / _MAILBOX_NAME)) > _LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            f"{directory} is too long for the sockets in it: path and prefix may have "
            f"{_LONGEST_SOCKET_PATH - len(_MAILBOX_NAME) - 1} bytes"
        )
    return directory


def _quoted(character: str) -> str:
    # To the file systems of macOS "A" and "a" are one.
    if sys.platform == "darwin" and character in string.ascii_uppercase:
        return f"%{ord(character):02X}"
    return urllib.parse.quote(character, safe="")


def prefix_of(directory: Path) -> str:
    """Returns the prefix that ``directory_for`` was given."""
    return urllib.parse.unquote(directory.name[1:])


def stores_in(base: Path) -> list[Path]:
    """Returns the directories of all stores in ``base``."""
    return sorted(path for path in base.glob("=*") if path.is_dir()) if base.is_dir() else []


def make(directory: Path) -> None:
    """Makes the directory and those above it, private; what is there already must be so."""
    trusted(directory)  # before something is made in a place of others
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
    """Raises ``UnusableStore`` unless ``directory`` is one, of this user, and open to nobody else."""
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
    """Keeps out everybody else who opens or removes the store. Raises ``FileNotFoundError`` if there is none."""
    while True:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Whoever had the lock may have removed it, and another one made it anew.
            if os.path.samestat(os.fstat(fd), directory.lstat()):
                yield
                return
        finally:
            # Closing is not enough: gevent's ``os.close`` may do so later, and a forked child has the file open too.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def users(directory: Path) -> list[int]:
    """
    Returns the processes that have the store open; each holds a lock on the first byte of the lock file.

    Where there is no ``/proc/locks`` it is one of them only. Not for a process that has it open itself. Linux takes
    seconds at times to read that file, and lets nobody lock any file meanwhile: to open a store must not need it.
    """
    try:
        inode = (directory / LOCK).stat().st_ino
    except FileNotFoundError:
        return []
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except FileNotFoundError:
        user = a_user(directory)
        return [] if user is None else [user]
    held = (line.split() for line in lines if " POSIX " in line and " -> " not in line)
    device = os.lstat(directory).st_dev
    where = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    return sorted({int(pid) for *_, pid, at, start, _ in held if at == where and start == "0"})


def a_user(directory: Path) -> int | None:
    """Returns one of the processes that have the store open. Not for a process that has it open itself."""
    layout = "qqihh" if sys.platform == "darwin" else "hhqqi"  # struct flock: BSD's order, or the others'
    asked = (0, 1, 0, fcntl.F_WRLCK, os.SEEK_SET) if layout[0] == "q" else (fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    try:
        with (directory / LOCK).open("r+b") as file:
            found = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *asked)))
    except FileNotFoundError:
        return None
    kind, pid = (found[3], found[2]) if layout[0] == "q" else (found[0], found[4])
    return None if kind == fcntl.F_UNLCK else pid


def is_cut_off(directory: Path) -> bool:
    """Returns whether the file of the store ends before the last page that it says it has."""
    try:
        with (directory / DATA).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            metas = [file.read(_PAGE)[: _META.size], file.read(_PAGE)[: _META.size]]
    except FileNotFoundError:
        return False
    if not size:
        return False
    if size < 2 * _PAGE:
        return True
    _, last_page = max((transaction, last) for last, transaction in map(_META.unpack, metas))
    return bool(size < (last_page + 1) * _PAGE)


def remove(directory: Path) -> None:
    """Removes the store: who has it open makes a new one within a second. To be called with it ``locked``."""
    (directory / DATA).unlink(missing_ok=True)  # from here on it is gone, for those who look
    ring_all(directory)
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
    """Returns what names the time since the machine was started, where the system says so."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""


def allocate_locks(directory: Path) -> None:
    """Sees that LMDB, which maps its lock file as it is, finds all of it. Not for a process that has it open."""
    private = functools.partial(os.open, mode=0o600)
    with open(directory / LOCK, "ab", opener=private) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, _LOCKS)
