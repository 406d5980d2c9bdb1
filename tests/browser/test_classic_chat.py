"""The classic chat, end to end: its sockets stay open while the code behind them is exchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from examples.chat_site import ChatSite
from examples.processes import end
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT

# A browser, an interface and two workers start for it, on a machine that may be busy.
pytestmark = pytest.mark.timeout(180)

ARTIFACTS = Path(os.environ.get("CI_ARTIFACTS") or ROOT / ".ci" / "artifacts")


@pytest.fixture
def heartbeat():
    """The seconds between two heartbeats: after four without an answer a page connects again."""
    return "30"


@pytest.fixture
def site(fresh_redis_server, heartbeat, monkeypatch):
    monkeypatch.setenv("HEARTBEAT_SECONDS", heartbeat)
    with ChatSite(fresh_redis_server.url, 0) as running:
        assert running.serves([]), running.log
        yield running
        assert "Traceback" not in running.log


@pytest.fixture
def windows(driver, site):
    """The lobby in two windows, for Anna and Ben."""
    from tests.browser.windows import ClassicWindow  # here, because it needs selenium

    opened = [ClassicWindow(driver, site.url, name) for name in ("anna", "ben")]
    yield opened
    for window in opened:
        window.close()
    driver.switch_to.window(driver.window_handles[0])


def test_a_new_worker_a_command_and_a_gevent_worker_speak_over_the_same_sockets(driver, site, windows):
    from tests.browser.windows import side_by_side

    anna, ben = windows
    for window in windows:
        window.shows_people("anna", "ben")
    anna.say("hello, this is one window")
    ben.say("and this is the other")
    eventually(lambda: [window.shows("ben and this is the other") for window in windows])
    site.restart_worker()
    anna.say("said while no worker is there")
    ben.say("/roll")
    site.manage("say", "a line from a management command")
    for window in windows:
        window.shows("anna hello, this is one window")
        window.shows("anna said while no worker is there")
        window.shows("dice ben rolls ")  # by the gevent worker
        window.shows("manage.py a line from a management command")
    assert anna.lines == ben.lines
    assert [window.connections for window in windows] == [1, 1]
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / "classic_chat.png").write_bytes(side_by_side(driver, windows))


def test_a_page_shows_who_is_here_and_what_was_said_before(driver, site, windows):
    from tests.browser.windows import ClassicWindow

    anna, ben = windows
    anna.say("before")
    ben.shows("anna before")
    carol = ClassicWindow(driver, site.url, "carol")
    carol.shows("anna before")
    ben.shows_people("anna", "ben", "carol")
    carol.close()
    ben.shows_people("anna", "ben")


def test_after_a_restart_of_the_interface_pages_connect_again_and_miss_nothing(site, windows):
    anna, ben = windows
    anna.say("before")
    ben.shows("anna before")
    site.interface.kill()
    for window in windows:
        window.shows_state("not connected")
    site.manage("say", "in between")
    site.interface.wait()
    site.start_interface()
    for window in windows:
        window.shows("manage.py in between")
        window.shows("anna before")
        assert window.connections == 2


@pytest.mark.parametrize("heartbeat", ["2"])
def test_a_page_of_which_a_frame_was_lost_connects_again(site, windows, fresh_redis_server):
    """With a worker that is killed, for instance: the later frames of the page wait for the turn of the lost one."""
    anna = windows[0]
    end(site.worker)
    anna.say("to be lost")
    with redis.Redis.from_url(fresh_redis_server.url) as client:
        (queue,) = eventually(lambda: client.keys("asgi-demo*websocket.receive"))
        eventually(lambda: any(b"to be lost" in frame for frame in client.zrange(queue, 0, -1)))
        client.delete(queue)
    site.restart_worker()
    eventually(lambda: anna.connections > 1, timeout=60)
    anna.say("found")
    for window in windows:
        window.shows("anna found")
        window.shows_people("anna", "ben")
        window.shows("anna to be lost", times=0)
