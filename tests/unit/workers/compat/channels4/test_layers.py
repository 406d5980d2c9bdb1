"""The channel layers of a worker of a Channels 4 project, and of its consumers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_redis import IPCChannelLayer, RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes
from tests.unit.workers.compat.channels4 import Run


def test_consumers_join_groups_and_get_what_is_sent_there_between_their_messages(
    pool: list[str], run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("thumbnails", "emails", *pool) as worker:
        layer.send("thumbnails", {"type": "thumbnails.join", "group": "press", "n": 1})
        eventually(lambda: notes.numbers("done") == [1], timeout=20)
        layer.send_group("press", {"type": "thumbnails.news", "text": "one"})
        eventually(lambda: notes["news"] == ["one"])
        layer.send("emails", {"type": "emails.join", "group": "letters", "n": 2})
        eventually(lambda: notes.numbers("done") == [1, 2])
        layer.send_group("letters", {"type": "emails.news", "text": "two"})
        layer.send_group("press", {"type": "thumbnails.news", "text": "three"})
        eventually(lambda: sorted(notes["news"]) == ["one", "three", "two"])
        layer.send_group("letters", {"type": "emails.fail", "kind": "value"})
        eventually(lambda: "The consumer of channel 'emails' has ended between two messages" in worker.log)
        layer.send("emails", {"type": "emails.send", "n": 3})
        eventually(lambda: notes.numbers("done") == [1, 2, 3])
        worker.stop()
        assert "3 messages done, 0 of them failed" in worker.log


def test_what_a_consumer_sends_goes_out_at_once_by_either_layer(
    run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("thumbnails") as worker:
        layer.send("thumbnails", {"type": "thumbnails.forward", "text": "hello", "n": 1})
        eventually(lambda: notes.numbers("done") == [1], timeout=20)
        assert layer.receive(["elsewhere"])[1] == {"text": "hello"}
        assert layer.receive(["elsewhere"])[1] == {"text": "hello!"}
        worker.stop()


def test_the_module_another_layer_and_delayed_messages_work_too(
    run: Run, notes: Notes, redis_server: RedisServer, prefix: str
) -> None:
    with (
        RedisChannelLayer(hosts=[redis_server.url], prefix=f"{prefix}second") as second,
        run("--layer", "second", "emails", "asgi.delay", command=MODULE) as worker,
    ):
        worker.listens()
        assert "2 channels (asgi.delay, emails)" in worker.log
        content = {"type": "emails.send", "n": 1}
        second.send("asgi.delay", {"channel": "emails", "content": content, "delay": 50})
        eventually(lambda: notes.numbers("done") == [1], timeout=20)
        worker.stop()


@pytest.mark.parametrize("kind", ["redis", pytest.param("ipc", marks=pytest.mark.soak)])
def test_with_our_own_layer_in_the_settings_it_works_the_same(
    kind: str, run: Run, notes: Notes, layer: Any, tmp_path: Path
) -> None:
    environment = {"TEST_BACKEND": "asgi_redis.aio.RedisChannelLayer"}
    if kind == "ipc":
        pytest.importorskip("lmdb")
        layer = IPCChannelLayer(path=tmp_path / "ipc")
        environment = {"TEST_IPC": str(tmp_path / "ipc")}
    with layer, run("thumbnails", "emails", "--concurrency", "4", **environment) as worker:
        layer.send("thumbnails", {"type": "thumbnails.join", "group": "press", "n": 1})
        layer.send("emails", {"type": "emails.join", "group": "letters", "n": 2})
        eventually(lambda: notes.numbers("done") == [1, 2], timeout=20)
        layer.send_group("press", {"type": "thumbnails.news", "text": "one"})
        layer.send_group("letters", {"type": "emails.news", "text": "two"})
        eventually(lambda: sorted(notes["news"]) == ["one", "two"])
        worker.stop()
        assert "Warning" not in worker.log


def test_instances_and_their_groups_outlive_an_outage_of_redis(
    run: Run, notes: Notes, prefix: str, fresh_redis_server: RedisServer
) -> None:
    layer = RedisChannelLayer(hosts=[fresh_redis_server.url], prefix=prefix)
    with layer, run("thumbnails", "emails", TEST_LAYER_URL=fresh_redis_server.url) as worker:
        layer.send("thumbnails", {"type": "thumbnails.join", "group": "press", "n": 1})
        layer.send("emails", {"type": "emails.join", "group": "letters", "n": 2})
        eventually(lambda: notes.numbers("done") == [1, 2], timeout=20)
        layer.send_group("press", {"type": "thumbnails.news", "text": "before"})
        layer.send_group("letters", {"type": "emails.news", "text": "before"})
        eventually(lambda: notes["news"] == ["before"] * 2, timeout=20)
        # Who gets on with something else waits for the next of those, too.
        layer.send("thumbnails", {"type": "thumbnails.make", "n": 3})
        layer.send("emails", {"type": "emails.send", "n": 4})
        eventually(lambda: notes.numbers("done") == [1, 2, 3, 4], timeout=20)
        fresh_redis_server.kill()
        eventually(lambda: "WARNING" in worker.log or "ERROR" in worker.log, timeout=20)
        fresh_redis_server.start()
        eventually(lambda: layer.receive(["none"]))  # the layer knows that it is back
        layer.send("emails", {"type": "emails.join", "group": "letters", "n": 5})
        layer.send("thumbnails", {"type": "thumbnails.make", "n": 6})
        eventually(lambda: notes.numbers("done") == [1, 2, 3, 4, 5, 6], timeout=20)
        layer.send_group("letters", {"type": "emails.news", "text": "back"})
        eventually(lambda: notes["news"] == ["before", "before", "back"])
        worker.stop()
        log = worker.log
        assert "Traceback" not in log, log
    assert notes["made"] == ["1", "2"]
    assert sorted(notes["instances"]) == ["emails", "thumbnails"]


def test_delayed_messages_may_be_all_that_a_worker_has(run: Run, layer: RedisChannelLayer) -> None:
    with run("asgi.delay") as worker:
        worker.listens()
        layer.send("asgi.delay", {"channel": "c", "content": {"n": 1}, "delay": 10})
        assert layer.receive(["c"], block=True) == ("c", {"n": 1})
