"""Doing the same thing in several threads at once."""

from __future__ import annotations

import threading


def in_threads(work, items):
    """Calls ``work(item)`` for each item, each in a thread, all at once; raises the first error."""
    errors = []

    def guarded(item):
        try:
            work(item)
        except BaseException as error:  # noqa: BLE001  raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
