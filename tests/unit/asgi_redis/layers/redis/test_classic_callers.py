"""What daphne 1.x and the workers of Channels 1 do to a layer beyond calling it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

import asgi_redis

TERMINATED = """
import signal, sys
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=sys.argv[2:], prefix=sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
layer.receive(["work"])  # connects
layer.block_timeout = 60
print("waits", flush=True)
layer.receive({"work"}, block=True)
"""


@pytest.mark.parametrize("shards", [1, 3])
def test_the_system_exit_of_a_signal_handler_ends_a_blocking_receive_at_once(shards, three_redis_servers, prefix):
    hosts = [server.url for server in three_redis_servers[:shards]]
    with subprocess.Popen(
        [sys.executable, "-c", TERMINATED, prefix, *hosts], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7, "it would have waited 60 s"


def test_channel_full_is_raised_and_caught_by_way_of_the_layer(layer_for, redis_server):
    """Channels raises it anew, with a text of its own."""
    layer = layer_for(redis_server)
    with pytest.raises(layer.ChannelFull, match="no room for it"):
        raise layer.ChannelFull("no room for it")


@pytest.mark.filterwarnings("ignore:receive_many is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", [list, set])
def test_receive_many_takes_a_list_or_a_set_and_blocks(layer_for, redis_server, kind):
    layer = layer_for(redis_server)
    layer.block_timeout = 0.2
    started = time.monotonic()
    assert layer.receive_many(kind(["work", "jobs"]), block=True) == (None, None)
    assert time.monotonic() - started > 0.19
    layer.send("jobs", {"n": 1})
    assert layer.receive_many(kind(["work", "jobs"]), block=True) == ("jobs", {"n": 1})


def test_a_message_may_be_sent_again_with_its_count_of_retries(layer_for, redis_server):
    """Channels puts ``__retries__`` into the very message that it received."""
    layer = layer_for(redis_server)
    layer.send("work", {"text": "ä", "body": b"\x00\xff", "headers": [[b"host", b"x"]]})
    channel, message = layer.receive(["work"])
    for retries in (1, 2):
        message["__retries__"] = retries
        layer.send(channel, message)
        channel, message = layer.receive(["work"])
        assert message == {
            "text": "ä",
            "body": b"\x00\xff",
            "headers": [[b"host", b"x"]],
            "__retries__": retries,
        }


def test_the_version_is_one_that_channels_accepts():
    """Channels 1.1.8 wants 1.2.0 or newer of a package of this name."""
    assert int(asgi_redis.__version__.partition(".")[0]) >= 2
