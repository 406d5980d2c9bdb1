"""``--max-messages`` and ``--max-memory``."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.workers.processes import Notes
from tests.support.workers.stand_ins import stand_in
from tests.unit.workers.operations.conftest import Start
from workers.operations.recycling import JITTER, MessageLimit, resident_memory


@pytest.mark.parametrize("flags", [["--threads", "1"], ["--pool", "gevent", "--concurrency", "1"]])
def test_after_that_many_messages_it_exits_with_0_and_leaves_the_others(
    start: Start, layer: RedisChannelLayer, notes: Notes, flags: list[str]
) -> None:
    if "gevent" in flags:
        pytest.importorskip("gevent")
    for n in range(60):
        layer.send("work", {"n": n})
    worker = start("--max-messages", "20", *flags)
    assert worker.wait() == 0, worker.log
    done = notes.numbers("done")
    assert 18 <= len(done) <= 22
    assert notes.numbers("started") == done
    assert sorted([content["n"] for _, content in layer.receive_batch(["work"], 100)] + done) == list(range(60))
    assert f"Stopping: {len(done)} messages done, as --max-messages has it" in worker.log


def test_what_runs_beside_the_last_message_is_run_to_its_end(
    start: Start, layer: RedisChannelLayer, notes: Notes
) -> None:
    for n in range(20):
        layer.send("work", {"n": n, "seconds": 0.05})
    assert start("--max-messages", "2", "--threads", "4").wait() == 0
    assert notes.numbers("started") == notes.numbers("done")
    assert 2 <= len(notes["done"]) <= 8


def messages_until_quiet(number: int) -> int:
    worker = stand_in()
    MessageLimit(number).start(worker)
    ran = 0
    while not worker.quieted:
        worker.ran()
        ran += 1
    return ran


def test_each_worker_has_another_limit_within_a_tenth() -> None:
    limits = {messages_until_quiet(200) for _ in range(50)}
    assert len(limits) > 10
    assert 180 <= min(limits) < 195
    assert 205 < max(limits) <= 220


def test_the_least_is_one_message() -> None:
    assert messages_until_quiet(1) == 1


def test_with_more_memory_than_that_it_exits_with_0_and_says_why(
    start: Start, layer: RedisChannelLayer, notes: Notes
) -> None:
    worker = start("--max-memory", "300M", "--threads", "1")
    layer.send("grow", {"n": 1, "bytes": 1 << 20})
    layer.send("grow", {"n": 2, "bytes": 340 << 20})
    assert worker.wait() == 0, worker.log
    assert notes["done"] == ["1", "2"]
    found = re.search(r"Stopping: the process takes (\d+) MiB, and --max-memory allows (\d+) MiB", worker.log)
    assert found, worker.log
    assert int(found[1]) > 340
    assert 300 * (1 - JITTER) <= int(found[2]) <= 300 * (1 + JITTER)


def test_less_memory_than_it_needs_to_start_is_a_wrong_configuration(start: Start) -> None:
    """Otherwise its supervisor would start it again and again, and it would never do anything."""
    worker = start("--max-memory", "10M")
    assert worker.wait() == 1
    assert "--max-memory is too little" in worker.log


def test_the_memory_is_what_is_resident_now() -> None:
    before = resident_memory()
    with mmap.mmap(-1, 64 << 20):
        assert resident_memory() - before < 10 << 20  # reserved, and never written to
    block = b"x" * (64 << 20)
    grown = resident_memory()
    assert 60 << 20 < grown - before < 80 << 20
    del block
    assert resident_memory() < grown - (50 << 20)


def test_where_there_is_no_proc_it_is_the_most_that_ever_was(monkeypatch: pytest.MonkeyPatch) -> None:
    now = resident_memory()

    def missing(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", missing)
    assert resident_memory() > now * 0.9
