"""``asgi-redis monitor --web``, from the start to the signal that ends it."""

from __future__ import annotations

import signal
import threading
from typing import Callable

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.web.server import LOOPBACK, MonitorServer

SHUTDOWN_POLL_SECONDS = 0.2


def address(text: str) -> tuple[str, int]:
    """
    Return the host and the port that ``[HOST:]PORT`` names.

    Without a host it is the loopback address.

    Raises:
        ValueError: It is no such text.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16):
        raise ValueError(f"{text!r} is not [HOST:]PORT")
    return host.strip("[]") or LOOPBACK, int(port)


def serve(
    layer: BaseChannelLayer,
    where: tuple[str, int],
    *,
    allow_actions: bool,
    content: bool,
    say: Callable[[str], None],
) -> None:
    """
    Serve the page until SIGINT or SIGTERM.

    Args:
        layer: The layer to look at.
        where: Host and port.
        allow_actions: Whether channels may be purged and workers quieted.
        content: Whether the content of messages may be shown.
        say: Is called with the lines for the person who started it.

    Raises:
        OSError: The address cannot be had.
    """
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    with MonitorServer(where, layer, allow_actions=allow_actions, content=content) as server:
        before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
        thread = threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            if not server.ip_address.is_loopback:
                say("Warning: there is no login. All who can reach this address see the page.")
            say(f"The monitor of {layer} is at {server.url}")
            stopped.wait()
        finally:
            server.shutdown()
            thread.join()
            for number, handler in zip(numbers, before):
                signal.signal(number, handler)
