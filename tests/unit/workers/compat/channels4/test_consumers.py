"""What a worker does for the consumers of channels in a Channels 4 project: ``runworker thumbnails emails``."""

from __future__ import annotations

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.processes import Notes
from tests.unit.workers.compat.channels4 import Run


def test_sync_and_async_consumers_get_the_messages_of_the_channels_that_are_named(
    run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("thumbnails", "emails") as worker:
        worker.listens()
        assert "Listening on 2 channels (emails, thumbnails) with 1 slot," in worker.log
        for n in range(3):
            layer.send("thumbnails", {"type": "thumbnails.make", "n": n})
            layer.send("emails", {"type": "emails.send", "n": n + 10})
        eventually(lambda: notes.numbers("done") == [0, 1, 2, 10, 11, 12])
        worker.stop()
        assert "6 messages done, 0 of them failed" in worker.log
        assert "Warning" not in worker.log
    assert sorted(notes["instances"]) == ["emails", "thumbnails"]  # one of each, for all messages
    assert notes["made"] == notes["sent"] == ["1", "2", "3"]
    assert set(notes["thread"]) == {"slot-1", "event-loop"}


def test_what_a_consumer_raises_costs_its_message_and_its_instance(
    run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("thumbnails", "emails") as worker:
        for kind in ("value", "exit", "keyboard", "iteration"):
            layer.send("thumbnails", {"type": "thumbnails.fail", "kind": kind})
        for kind in ("value", "exit", "cancelled"):
            layer.send("emails", {"type": "emails.fail", "kind": kind})
        layer.send("emails", {"type": "emails.reply"})
        layer.send("emails", {"type": "no.such"})
        layer.send("emails", {"text": "no type"})
        layer.send("thumbnails", {"type": "thumbnails.make", "n": 1})
        layer.send("emails", {"type": "emails.send", "n": 2})
        eventually(lambda: notes.numbers("done") == [1, 2], timeout=20)
        worker.stop()
        assert "12 messages done, 10 of them failed" in worker.log
        lines = worker.log.splitlines()
        errors = [line for line in lines if "Error in consumer" in line]
        assert len(errors) == 10
        consumer = "tests.unit.workers.compat.channels4.consumers.Thumbnails"
        assert sum(f"{consumer} with a message on channel 'thumbnails'" in line for line in errors) == 4
        assert "No handler for message type no.such" in worker.log
        assert "has no client that it could send to" in worker.log
        assert "has a type, which names the method to call" in worker.log
    # Each failure but the message without a type has ended an instance.
    assert sorted(notes["instances"]) == ["emails"] * 6 + ["thumbnails"] * 5


def test_an_instance_that_stops_itself_is_no_error(run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    with run("thumbnails") as worker:
        layer.send("thumbnails", {"type": "thumbnails.fail", "kind": "stop"})
        layer.send("thumbnails", {"type": "thumbnails.make", "n": 1})
        eventually(lambda: notes.numbers("done") == [1], timeout=20)
        worker.stop()
        assert "2 messages done, 0 of them failed" in worker.log
    assert notes["instances"] == ["thumbnails", "thumbnails"]


def test_a_consumer_that_cannot_be_made_costs_each_message_and_no_more(
    run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("broken", "thumbnails") as worker:
        for _ in range(2):
            layer.send("broken", {"type": "x"})
        layer.send("thumbnails", {"type": "thumbnails.make", "n": 1})
        eventually(
            lambda: notes.numbers("done") == [1] and worker.log.count("LookupError: not to be made") == 2, timeout=20
        )
        worker.stop()
        assert "3 messages done, 2 of them failed" in worker.log


def test_tasks_of_a_consumer_outlive_its_message(run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    with run("emails") as worker:
        layer.send("emails", {"type": "emails.later", "seconds": 0.2, "n": 1})
        eventually(lambda: notes.numbers("done") == [1], timeout=20)
        eventually(lambda: notes.numbers("late") == [1])
        worker.stop()


def test_consume_later_puts_the_message_back(run: Run, notes: Notes, layer: RedisChannelLayer) -> None:
    with run("thumbnails") as worker:
        layer.send("thumbnails", {"type": "thumbnails.later"})
        eventually(lambda: len(notes["later"]) == 11, timeout=20)
        assert notes.numbers("later") == list(range(11))
        worker.stop()


def test_an_application_that_is_a_function_gets_one_message_if_it_asks_for_one(
    run: Run, notes: Notes, layer: RedisChannelLayer
) -> None:
    with run("bare") as worker:
        for n in range(3):
            layer.send("bare", {"type": "x", "n": n})
        eventually(lambda: notes.numbers("done") == [0, 1, 2], timeout=20)
        worker.stop()
        assert "3 messages done, 0 of them failed" in worker.log
    assert notes["scope"] == ["channel bare"] * 3
