"""How many messages of a Channels 4 project run at once, and where."""

from __future__ import annotations

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.unit.workers.compat.channels4 import Run


def test_fifty_messages_run_eight_at_a_time(
    pool: list[str], run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    for n in range(25):
        layer.send("thumbnails", {"type": "thumbnails.make", "n": n, "seconds": 0.1})
        layer.send("emails", {"type": "emails.send", "n": n + 25, "seconds": 0.1})
    with run("thumbnails", "emails", "--concurrency", "8", *pool) as worker:
        eventually(lambda: notes.numbers("done") == list(range(50)), timeout=20)
        worker.stop()
        assert "50 messages done, 0 of them failed" in worker.log
        assert "Warning" not in worker.log
    assert max(notes.numbers("running")) == 8
    assert len(notes["instances"]) <= 16  # as many as worked at once, and they stay


def test_synchronous_code_runs_in_the_slots_which_keep_their_database_connections(
    pool: list[str], run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("thumbnails", "emails", *pool, "--concurrency", "1") as worker:
        for n in range(4):
            layer.send("thumbnails", {"type": "thumbnails.query", "n": n})
            layer.send("emails", {"type": "emails.query", "n": n})
        eventually(lambda: notes.numbers("done") == [0, 0, 1, 1, 2, 2, 3, 3], timeout=20)
        worker.stop()
    assert set(notes["thread"]) == {"slot-1"}
    assert len(set(notes["connection"])) == 1


def test_a_limit_keeps_a_channel_at_one_instance(run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    for n in range(6):
        layer.send("thumbnails", {"type": "thumbnails.make", "n": n, "seconds": 0.02})
    with run("thumbnails", "--concurrency", "4", "--limit", "thumbnails=1") as worker:
        eventually(lambda: len(notes["done"]) == 6, timeout=20)
        worker.stop()
    assert notes.numbers("made") == [1, 2, 3, 4, 5, 6]
    assert notes["instances"] == ["thumbnails"]
