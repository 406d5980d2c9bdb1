"""The files, sockets and pipes that this process has open."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import eventually


def open_descriptors() -> dict[str, str]:
    """Returns what each descriptor is of, by its number; without that of the list itself."""
    found = {}
    for number in Path("/proc/self/fd").iterdir():
        try:
            found[number.name] = str(number.readlink())
        except FileNotFoundError:
            continue  # that of the list, or another thread's, which it has closed meanwhile
    return found


def expect_no_more_descriptors(before: dict[str, str]) -> None:
    """Fails, and says which are new, where more stay open; those that other threads have for a moment may come."""

    def none_was_added() -> bool:
        now = open_descriptors()
        added = sorted(set(now.items()) - set(before.items()))
        assert len(now) <= len(before), f"{len(now)} descriptors are open, {len(before)} were; new: {added}"
        return True

    eventually(none_was_added)
