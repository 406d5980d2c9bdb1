"""
Heartbeat files: the signs of life of a process, for probes.

A probe is quick, and needs no server. The modification time of the file is the time of the last sign of life. The
file holds the line ``ready`` while the process can do its work, and is empty otherwise. It is written in place,
because the process may be allowed to write to a file and not to its folder; any other text is taken for "not ready".

The path may be in a folder such as /tmp, where another user can put a link, a pipe or a file of that name first.
"""

from __future__ import annotations

import errno
import os
import stat
import time

_READY = b"ready\n"
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def beat(path: str, ready: bool) -> None:
    """
    Write a sign of life; create the file if need be.

    Args:
        path: The file.
        ready: Whether the process can do its work.

    Raises:
        OSError: Also for a link, no regular file, or a file of a user other than this one and root.
    """
    descriptor = os.open(path, _FLAGS | os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        found = _regular(descriptor, path)
        if found.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it belongs to another user", path)
        os.utime(descriptor)  # first: a full disk has no room for the rest
        text = _READY if ready else b""
        if found.st_size != len(text):
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
    finally:
        os.close(descriptor)


def fault(path: str, max_age: float, ready: bool = False) -> str | None:
    """
    Return the reason why a process is not healthy by its heartbeat file, or None.

    Args:
        path: The file.
        max_age: The seconds that the last sign of life may be old, or in the future where a clock was set back.
        ready: Whether the process has to be ready, too.
    """
    try:
        descriptor = os.open(path, _FLAGS | os.O_RDONLY)
        try:
            age = time.time() - _regular(descriptor, path).st_mtime
            text = os.read(descriptor, len(_READY) + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"cannot read the heartbeat file: {error}"
    if age > max_age:
        return f"the last heartbeat in {path} is {age:.1f} s old, more than {max_age:g} s"
    if age < -max_age:
        return f"the last heartbeat in {path} is {-age:.1f} s in the future, more than {max_age:g} s"
    if ready and text != _READY:
        return f"{path} has a heartbeat, but does not say ready"
    return None


def _regular(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise FileExistsError(errno.EEXIST, "it is not a regular file", path)
    return found
