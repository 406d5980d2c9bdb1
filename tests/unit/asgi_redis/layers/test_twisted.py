"""The "twisted" extension with a real reactor, in a process of its own: a reactor runs but once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

pytest.importorskip("twisted")

PROLOGUE = """
import sys, time
from twisted.internet import reactor, defer, threads
from asgi_redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=sys.argv[2:], prefix=sys.argv[1])
layer.block_timeout = 20

def waiting(then):
    "Calls `then` as soon as the layer waits for a message."
    if layer._receiver._waiting:
        then()
    else:
        reactor.callLater(0.01, waiting, then)

def say(*words):
    print(*words, flush=True)

def failed(failure):
    say("failed:", failure.type.__name__)
"""

WITHOUT_TWISTED = """
import sys
sys.modules["twisted.internet"] = None  # as if it were not installed
from asgi_redis import RedisChannelLayer
try:
    RedisChannelLayer().receive_twisted(["work"])
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_without_twisted_it_names_the_extra():
    ended = subprocess.run([sys.executable, "-c", WITHOUT_TWISTED], capture_output=True, text=True, check=True)
    assert ended.stdout == 'MissingExtra receive_twisted needs Twisted: pip install "asgi_redis[twisted]"\n'


@pytest.fixture
def run(redis_server, prefix):
    def run(program, hosts=None):
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROLOGUE + program, prefix, *(hosts or [redis_server.url])],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert ended.stderr == ""
        assert ended.returncode == 0
        return ended.stdout.splitlines(), time.monotonic() - started

    return run


def test_a_message_fires_the_deferred(run):
    said, _ = run("""
deferred = layer.receive_twisted(["work", "p!"])
deferred.addCallbacks(say, failed).addBoth(lambda _: reactor.stop())
waiting(lambda: layer.send("p!x", {"text": "hello"}))
reactor.run()
""")
    assert said == ["('p!x', {'text': 'hello'})"]


def test_on_all_shards(run, three_redis_servers):
    said, took = run(
        """
@defer.inlineCallbacks
def main():
    for number in range(6):
        waiting(lambda: layer.send("work", {"n": number}))
        _, message = yield layer.receive_twisted(["work"])
        say(message["n"])
    reactor.stop()
reactor.callWhenRunning(main)
reactor.run()
""",
        [server.url for server in three_redis_servers],
    )
    assert said == [str(number) for number in range(6)]
    assert took < 10


def test_where_none_comes_it_fires_with_two_nones_after_the_block_timeout(run):
    said, _ = run("""
layer.block_timeout = 0.05
layer.receive_twisted(["work"]).addCallbacks(say, failed).addBoth(lambda _: reactor.stop())
reactor.run()
""")
    assert said == ["(None, None)"]


def test_an_error_is_a_failure(run):
    said, _ = run("""
layer.receive_twisted(["two words"]).addCallbacks(say, failed).addBoth(lambda _: reactor.stop())
reactor.run()
""")
    assert said == ["failed: InvalidName"]


def test_cancelling_ends_the_wait_at_once_and_a_later_message_is_for_the_next_reader(run):
    said, took = run("""
deferred = layer.receive_twisted(["work"])
deferred.addCallbacks(say, failed)

def cancel():
    deferred.cancel()
    layer.send("work", {"n": 1})
    layer.receive_twisted(["work"]).addCallbacks(say, failed).addBoth(lambda _: reactor.stop())

waiting(cancel)
reactor.run()
""")
    assert said == ["failed: CancelledError", "('work', {'n': 1})"]
    assert took < 10


# A message that comes in the very moment of a cancellation or a stop: the layer has it when it is unblocked.
IN_THAT_MOMENT = """
import threading
unblocked = threading.Event()
receive = layer.receive

def receive_late(channels, block):
    layer._receiver._waiting.add(None)  # for `waiting`
    unblocked.wait()
    layer._receiver._waiting.clear()
    return "work", {"n": 1}

layer.receive = receive_late
layer.unblock = unblocked.set
"""


def test_a_message_that_comes_in_the_moment_of_cancelling_is_kept_for_the_next_reader(run):
    said, _ = run(
        IN_THAT_MOMENT
        + """
deferred = layer.receive_twisted(["work"])
deferred.addCallbacks(say, failed)
waiting(deferred.cancel)

def look():
    received = receive(["work"])
    if received == (None, None):
        reactor.callLater(0.01, look)
    else:
        say(received)
        reactor.stop()

look()
reactor.run()
"""
    )
    assert said == ["failed: CancelledError", "('work', {'n': 1})"]


def test_a_message_that_comes_in_the_moment_of_stopping_is_handed_out(run):
    said, took = run(
        IN_THAT_MOMENT
        + """
layer.receive_twisted(["work"]).addCallbacks(say, failed)
waiting(reactor.stop)
reactor.run()
"""
    )
    assert said == ["('work', {'n': 1})"]
    assert took < 10


def test_stopping_the_reactor_is_prompt_however_many_wait(run):
    said, took = run("""
for _ in range(15):  # more than the thread pool has threads
    layer.receive_twisted(["work"]).addErrback(failed)
waiting(reactor.stop)
reactor.run()
say("stopped")
""")
    assert said == ["stopped"]
    assert took < 10, "each of them would have waited 20 s"


def test_one_after_another_leaves_no_shutdown_trigger_behind(run):
    said, _ = run("""
layer.block_timeout = 0.001

@defer.inlineCallbacks
def main():
    def triggers():
        return len(reactor._eventTriggers["shutdown"].before)
    before = triggers()
    for _ in range(20):
        yield layer.receive_twisted(["work"])
    say(triggers() - before)
    reactor.stop()

reactor.callWhenRunning(main)
reactor.run()
""")
    assert said == ["0"]


def test_who_goes_on_receiving_while_the_reactor_stops_does_not_hold_it_up(run):
    """As daphne does: the reactor calls itself running until it has stopped."""
    said, took = run("""
@defer.inlineCallbacks
def main():
    while reactor.running:
        received = yield layer.receive_twisted(["work"])
    say(received)

reactor.callWhenRunning(main)
waiting(reactor.stop)
reactor.run()
say("stopped")
""")
    assert said == ["(None, None)", "stopped"]
    assert took < 10, "it would have waited 20 s"
