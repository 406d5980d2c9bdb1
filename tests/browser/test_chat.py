"""The chat example, end to end: from one browser window through daphne, Channels and Redis to the other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis as redis_client

from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT

# A browser, a daphne and a worker start for it, on a machine that may be busy.
pytestmark = pytest.mark.timeout(120)

ARTIFACTS = Path(os.environ.get("CI_ARTIFACTS") or ROOT / ".ci" / "artifacts")


@pytest.fixture
def open_windows(driver):
    """``open_windows(chat)`` opens the page twice, for Anna and Ben."""
    from tests.browser.windows import Window  # here, because it needs selenium

    windows = []

    def open_them(chat):
        windows.extend(Window(driver, chat.url, name) for name in ("anna", "ben"))
        assert len(chat.members) == 2
        return windows

    yield open_them
    for window in windows:
        window.close()
    driver.switch_to.window(driver.window_handles[0])


def everybody_speaks(chat, windows, times=1):
    """Each says something, wherever it runs; both windows show it, and have shown it ``times`` times now."""
    anna, ben = windows
    anna.say("hello from this window")
    ben.say("and hello from that one")
    for window in windows:
        window.shows("anna: hello from this window", times)
        window.shows("ben: and hello from that one", times)
    chat.manage("say", "hello")
    ben.say("/roll")
    for window in windows:
        window.shows("manage.py: hello", times)
        window.shows("dice: ben rolls ", times)  # by the gevent worker
    anna.press_report()
    for window in windows:
        window.shows("report: 2 pages are open in this room", times)  # by a thread


def test_windows_a_command_a_gevent_worker_and_a_thread_speak_to_each_window(
    driver, chat_on, open_windows, fresh_redis_server
):
    from tests.browser.windows import side_by_side

    chat = chat_on(fresh_redis_server)
    windows = open_windows(chat)
    everybody_speaks(chat, windows)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / "chat.png").write_bytes(side_by_side(driver, windows))


@pytest.fixture(params=["appendonly", "no persistence"])
def redis(request):
    """A server that survives a crash with its data, or without."""
    with RedisServer({"appendonly": "yes" if request.param == "appendonly" else "no"}) as server:
        yield server


def test_after_a_crash_of_redis_messages_arrive_again_over_the_same_websockets(redis, chat_on, open_windows):
    """Where Redis has lost the memberships in the room, the layer puts them back."""
    chat = chat_on(redis)
    windows = open_windows(chat)
    everybody_speaks(chat, windows)
    members = sorted(chat.members)
    redis.kill()
    for window in windows:
        window.shows_state("Redis cannot be reached.")
    redis.start()
    eventually(lambda: sorted(chat.members) == members)
    everybody_speaks(chat, windows, times=2)
    assert [window.connections for window in windows] == [1, 1]
    assert "Traceback" not in chat.daphne.log


def test_after_flushall_messages_arrive_again_over_the_same_websockets(chat_on, open_windows, fresh_redis_server):
    """Nothing tells of it: the layer finds out within five seconds."""
    chat = chat_on(fresh_redis_server)
    windows = open_windows(chat)
    everybody_speaks(chat, windows)
    members = sorted(chat.members)
    with redis_client.Redis.from_url(fresh_redis_server.url) as client:
        client.flushall()
    eventually(lambda: sorted(chat.members) == members)
    everybody_speaks(chat, windows, times=2)
    assert [window.connections for window in windows] == [1, 1]


def test_the_synchronous_side_speaks_to_stock_channels_redis_too(chat_on, open_windows, fresh_redis_server):
    chat = chat_on(fresh_redis_server, "channels_redis.core.RedisChannelLayer", "?socket_timeout=30")
    everybody_speaks(chat, open_windows(chat))
