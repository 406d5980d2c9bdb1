"""A server that loads its data for as long as a test wants, and answers LOADING meanwhile."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from redis.exceptions import BusyLoadingError

from tests.support.clusters import Cluster
from tests.support.waiting import eventually

OPTIONS = {"enable-debug-command": "yes"}
"""What the nodes have to be started with."""

_KEYS = 100
_CHUNK = 1024  # after so many bytes the server looks at its clients
_DELAY_MICROSECONDS = 50_000  # for each key


@contextlib.contextmanager
def loading(cluster: Cluster) -> Iterator[None]:
    """The first node loads its data again, until the end of the block; its keys stay."""
    node = cluster.nodes[0]
    with cluster.client(node) as client:
        for n in range(_KEYS):
            client.set(f"ballast-{n}", os.urandom(2 * _CHUNK))
        client.config_set("loading-process-events-interval-bytes", _CHUNK)
        client.config_set("key-load-delay", _DELAY_MICROSECONDS)
        thread = threading.Thread(target=_reload, args=(cluster,))
        thread.start()
        try:
            eventually(lambda: _refuses(cluster))
            yield
        finally:
            client.config_set("key-load-delay", 0)
            thread.join()


def _reload(cluster: Cluster) -> None:
    with cluster.client(socket_timeout=30) as client:
        client.execute_command("DEBUG", "RELOAD")


def _refuses(cluster: Cluster) -> bool:
    try:
        cluster.run(cluster.nodes[0], "GET", "ballast-0")
    except BusyLoadingError:
        return True
    return False
