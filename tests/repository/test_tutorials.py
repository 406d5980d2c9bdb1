"""Each tutorial is followed to the letter; what its reader does in a browser stands here."""

from __future__ import annotations

import contextlib
import http.cookiejar
import re
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("websockets.sync.client", reason="no websockets")
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.documents.lessons import Lesson
from tests.support.documents.pages import Page, Prose

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"

pytestmark = [
    pytest.mark.native("processes and signals of the system"),
    pytest.mark.timeout(600),  # many processes, with Django
]


def test_a_first_project(tmp_path):
    with Lesson(TUTORIALS / "first_project.rst", tmp_path) as lesson:
        lesson.follow_to("Open http://127.0.0.1:8000/join/ben/ in a browser")
        with urllib.request.urlopen(f"http://127.0.0.1:{lesson.web_port}/join/ben/", timeout=60) as answer:
            assert answer.read().decode() == "Thank you, ben. A mail is on its way."
        lesson.follow_to_the_end()


def test_the_first_project_has_ten_steps():
    texts = [part.text for part in Page(TUTORIALS / "first_project.rst").parts if isinstance(part, Prose)]
    steps = [int(text.partition(".")[0]) for text in texts if re.match(r"\d+\. .* -+$", text)]
    assert steps == list(range(1, 11))


class Window:
    """A window of a browser that is open at the chat, with its own cookies."""

    def __init__(self, port: int, stack: contextlib.ExitStack) -> None:
        self._port = port
        self._stack = stack
        self._cookies = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self.lines: list[str] = []

    def open(self) -> str:
        """Open the page; its script opens the websocket, where it has one."""
        page = self._get()
        found = re.search(r"new WebSocket\(`ws://\$\{location.host\}(\S+)`\)", page)
        if found:
            site = f"127.0.0.1:{self._port}"
            cookies = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)}
            # It answers pings in the background, as a browser does.
            socket = connect(f"ws://{site}{found[1]}", origin=f"http://{site}", additional_headers=cookies)
            self._socket = self._stack.enter_context(socket)
        return page

    def enter(self, name: str) -> None:
        """Enter by the form."""
        page = self.open()
        assert '<form method="post">' in page
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token is not None
        assert re.search(r'<input name="name"', page)
        self._get({"csrfmiddlewaretoken": token[1], "name": name})
        self.open()

    def say(self, text: str) -> None:
        """Type a line and press Enter."""
        self._socket.send(text)

    def reads(self, text: str) -> None:
        """Return when the line appears; it is the next one."""
        assert self._socket.recv(timeout=60) == text

    def close(self) -> None:
        """Close the window."""
        self._socket.close(1001)

    def is_disconnected(self) -> None:
        """Return when the server has closed the websocket, with nothing more to read."""
        with pytest.raises(ConnectionClosed):
            self._socket.recv(timeout=60)

    def _get(self, form: dict[str, str] | None = None) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        with self._browser.open(f"http://127.0.0.1:{self._port}/", data, timeout=60) as answer:
            return str(answer.read().decode())


def test_a_chat(tmp_path):
    with Lesson(TUTORIALS / "chat.rst", tmp_path) as lesson, contextlib.ExitStack() as stack:

        def window() -> Window:
            return Window(lesson.web_port, stack)

        def both_enter() -> tuple[Window, Window]:
            anna, ben = window(), window()
            anna.enter("Anna")
            anna.reads("Anna comes in")
            ben.enter("Ben")
            for one in (anna, ben):
                one.reads("Ben comes in")
            return anna, ben

        lesson.follow_to("Open http://127.0.0.1:8000/ in two windows")
        first, second = window(), window()
        first.open()
        second.open()
        first.say("hello")
        first.reads("hello")
        second.reads("hello")
        lesson.follow_to("Both pages say *not connected*")
        for one in (first, second):
            one.is_disconnected()

        lesson.follow_to("enter as *Anna*")
        anna, ben = both_enter()
        anna.say("hello")
        ben.reads("Anna: hello")
        ben.say("hi")
        ben.reads("Ben: hi")
        ben.close()
        for line in ("Anna: hello", "Ben: hi", "Ben leaves"):
            anna.reads(line)

        lesson.follow_to("Enter the chat again")
        anna, ben = both_enter()
        lesson.follow_to("``Tea is ready`` appears in both windows")
        for one in (anna, ben):
            one.reads("Tea is ready")
        lesson.follow_to("Let Anna say")
        anna.say("Where is the tea?")
        lesson.follow_to("The line appears in both windows")
        for one in (anna, ben):
            one.reads("Anna says: “Where is the tea?”")
        lesson.follow_to("Close the windows")
        anna.close()
        ben.close()
        lesson.follow_to_the_end()


SLEEP = 'time.sleep(message["seconds"] / 2)'
# Half a job, which takes until as many jobs as the file says are as far. One of ten seconds or more takes until the
# test lets it end, besides.
STAND_IN = """\
import os
import threading
import time

BARRIERS = {width: threading.Barrier(width) for width in (1, 2, 4, 40)}


def work(seconds):
    with open("at_once") as file:
        width = int(file.read())
    BARRIERS[width].wait()
    while seconds >= 10 and not os.path.exists("end"):
        time.sleep(0.01)
"""


def test_background_work(tmp_path):
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    project = tmp_path / "reader" / "videos"
    replacements = {SLEEP: '__import__("stand_in").work(message["seconds"])'}
    with Lesson(TUTORIALS / "background_work.rst", tmp_path, {"PYTHONPATH": str(tmp_path)}, replacements) as lesson:

        def work_at_once(jobs: int) -> None:
            (project / "at_once").write_text(str(jobs))

        lesson.follow_to("Send two jobs from the first terminal")
        work_at_once(1)
        lesson.follow_to("Stop the worker with Ctrl-C, and start it with four")
        work_at_once(4)
        lesson.follow_to("All four were worked on at the same time")
        work_at_once(2)
        lesson.follow_to("A delayed message waits in Redis")
        work_at_once(1)
        lesson.follow_to("Jobs that wait for other machines need no thread each")
        work_at_once(40)
        lesson.follow_to("Start a worker with two threads")
        work_at_once(2)
        lesson.follow_to("It takes no new job, and waits for the two")
        (project / "end").touch()
        lesson.follow_to("send three long jobs")
        (project / "end").unlink()
        lesson.follow_to_the_end()
