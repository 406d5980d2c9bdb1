"""The monitor's page, served in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.web.server import MonitorServer


@contextlib.contextmanager
def serving(
    layer: BaseChannelLayer, *, allow_actions: bool = False, content: bool = False
) -> Iterator[MonitorServer]:
    """Serves the page of a layer on a free port."""
    with MonitorServer(("127.0.0.1", 0), layer, allow_actions=allow_actions, content=content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
