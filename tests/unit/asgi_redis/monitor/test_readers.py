"""Which processes read a channel."""

from __future__ import annotations

from asgi_redis.engine.facts import ProcessEntry
from asgi_redis.monitor.readers import Readers, count_processes, process_of


def test_the_process_of_a_channel_is_in_its_name():
    assert process_of("websocket.send.ab12!xyz") == "ab12"
    assert process_of("specific.ab12!") == "ab12"
    assert process_of("http.response.2.ab12!x") == "ab12"
    assert process_of("work") is None
    assert process_of("reply?abc") is None


def test_members_of_one_process_count_once():
    assert count_processes(["websocket.send.a!1", "websocket.send.a!2", "http.response.b!1", "work"]) == 2


def test_workers_read_their_channels_and_processes_their_own():
    readers = Readers(
        [
            ProcessEntry("w1", 0.1, {"channels": ["a", "b"], "client_prefix": "p1"}),
            ProcessEntry("w2", 0.1, {"channels": ["a"], "client_prefix": "p2"}),
            ProcessEntry("i1", 0.1, {"client_prefix": "p3"}),
        ]
    )
    found = {name: readers.of(name) for name in ("a", "b", "c", "websocket.send.p3!", "websocket.send.p9!")}
    assert found == {"a": 2, "b": 1, "c": 0, "websocket.send.p3!": 1, "websocket.send.p9!": 0}
