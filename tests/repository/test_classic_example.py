"""The classic chat of the examples, by websockets without a browser."""

from __future__ import annotations

import http.cookiejar
import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest

from examples.chat_site import ChatSite
from tests.support.waiting import eventually

Visitor = pytest.importorskip("examples.visit", reason="no websockets").Visitor

pytestmark = pytest.mark.timeout(240)  # an interface and two workers start for it

PASSWORD = "correct horse"


@pytest.fixture
def site(redis_server, monkeypatch):
    monkeypatch.setenv("HEARTBEAT_SECONDS", "0.2")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    with ChatSite(redis_server.url, 0) as running:
        assert running.serves([]), running.log
        yield running
        assert "Traceback" not in running.log


def hears(visitor: Visitor, condition: Callable[[], bool]) -> None:
    """Returns when what the visitor heard fulfils ``condition``; meanwhile it says that it is there."""

    def heard() -> bool:
        visitor.say("")
        visitor.listen(0.1)
        return condition()

    eventually(heard, timeout=60)


def test_those_who_leave_and_those_whose_interface_was_killed_are_not_here(site):
    with Visitor(site, "anna") as anna:
        with Visitor(site, "ben"):
            hears(anna, lambda: anna.people == ["anna", "ben"])
        hears(anna, lambda: anna.people == ["anna"])
        site.interface.kill()
        site.interface.wait()
        site.start_interface()
        eventually(lambda: site.serves([]), timeout=60)
        with Visitor(site, "carol") as carol:
            hears(carol, lambda: "carol" in carol.people)
            hears(carol, lambda: carol.people == ["carol"])


def test_a_user_who_has_logged_in_keeps_the_name(site):
    site.manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.org")
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    address = f"{site.url}accounts/login/"
    browser.open(address).close()
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
    form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    browser.open(address, urllib.parse.urlencode(form).encode()).close()
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
    with Visitor(site, "anna", {"Cookie": cookies}) as user, Visitor(site, "ada") as guest:
        hears(user, lambda: user.name == "ada")
        hears(guest, lambda: guest.name == "ada (guest)")
        hears(user, lambda: user.people == ["ada", "ada (guest)"])


def test_a_frame_that_is_not_from_the_page_does_no_harm(site):
    with Visitor(site, "anna") as anna:
        for frame in ("garbage", "[1]", '"text"', '{"text": 7}', '{"text": "  "}', "{}", "", "\0"):
            anna.send(frame)
        anna.say("still there")
        hears(anna, lambda: anna.texts == ["still there"])
