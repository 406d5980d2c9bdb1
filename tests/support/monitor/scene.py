"""A layer with something to see on it: traffic, a full channel, one without readers, groups, delayed messages."""

from __future__ import annotations

import threading
import time
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer

HOSTILE = '<img src=x onerror="hacked=1"><script>hacked=1</script>&lt;\''
MARKUP = ["img", {"src": "x", "onerror": "hacked=1"}]  # as the page itself might describe an element
CHANNELS = ["http.request", "websocket.connect", "websocket.receive", "websocket.disconnect", "thumbnails"]


def worker_report(number: int, **fields: Any) -> dict[str, Any]:
    """What a worker reports, in the format of workers."""
    return {
        "role": "worker",
        "host": f"web-{number}",
        "pid": 4100 + number,
        "started": time.time() - 7200 * number,
        "version": "2.0.0",
        "client_prefix": f"worker{number}",
        "pool": "thread",
        "slots": 8,
        "busy": 0,
        "done": 0,
        "failed": 0,
        "retried": 0,
        "channels": CHANNELS,
        "limits": {},
        "popping": True,
        "pulled": 0.1,
        "stopping": False,
        "running": [],
        **fields,
    }


def interface_report(number: int, **fields: Any) -> dict[str, Any]:
    """What an interface process reports."""
    return {
        "role": "interface",
        "host": f"web-{number}",
        "pid": 900 + number,
        "started": time.time() - 86400,
        "version": "2.0.0",
        "client_prefix": f"interface{number}",
        "sockets": 400 + number,
        "requests": number,
        "requests_total": 81_234,
        **fields,
    }


class Scene:
    """Plays on a layer while it is open."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self.layer = layer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._started = time.monotonic()

    def __enter__(self) -> Scene:
        for number in range(100):
            self.layer.send("thumbnails", {"picture": number})
        for number in range(14):
            self.layer.send("mail.digest", {"to": number})
        for member in range(40):
            self.layer.group_add("chat.lobby", f"websocket.send.interface{1 + member % 2}!{member}")
            if member < 6:
                self.layer.group_add("chat.help", f"websocket.send.interface1!{member}")
        assert self.layer.delayed is not None
        for seconds in (40, 95, 3600):
            self.layer.delayed.send("mail.reminder", {"in": seconds}, seconds)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _play(self) -> None:
        rounds = 0
        while not self._ended.wait(0.05):
            rounds += 1
            wave = abs(rounds % 240 - 120) // 40  # 0 to 3, up and down in twelve seconds
            for number in range(1 + wave):
                self.layer.send("websocket.receive", {"n": rounds + number})
            if rounds % 4 == 0:
                self.layer.send("http.request", {"n": rounds})
            if rounds % 20 < 17:
                self.layer.receive_batch(["websocket.receive", "http.request"], 4)
            if rounds % 20 == 1:
                self._report(rounds)

    def _report(self, rounds: int) -> None:
        registry = self.layer.registry
        assert registry is not None
        slow = {"channel": "thumbnails", "consumer": "media.consumers.make_thumbnail", "seconds": 0.2 + rounds / 20}
        fast = {"channel": "websocket.receive", "consumer": "chat.consumers.receive", "seconds": 0.012}
        many = {"pool": "gevent", "slots": 200}
        registry.report("w1", worker_report(1, busy=2, done=1_204_511 + rounds, failed=3, running=[slow, fast]))
        registry.report("w2", worker_report(2, busy=1, done=918_244 + rounds, running=[fast], **many))
        registry.report("i1", interface_report(1))
        registry.report("i2", interface_report(2))
