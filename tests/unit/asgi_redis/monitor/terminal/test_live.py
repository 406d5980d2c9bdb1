"""The live view, in a real pseudo-terminal whose screen an emulator draws."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time

import pytest

from tests.support.terminal import ALTERNATE_SCREEN_ON, Terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("the view has the terminal of a process of its own")

UP, DOWN, PAGE_DOWN, PAGE_UP, HOME, END, SHIFT_TAB = (
    *("\x1b[A", "\x1b[B", "\x1b[6~", "\x1b[5~", "\x1b[H", "\x1b[F"),
    "\x1b[Z",
)
MONITOR = [sys.executable, "-m", "asgi_redis", "monitor", "--interval", "0.2"]


@pytest.fixture
def filled(layer):
    for number, name in enumerate(("apples", "bananas", "cherries"), 1):
        for _ in range(number):
            layer.send(name, {})
    layer.group_add("room", "websocket.send.abc!x")
    layer.delayed.send("reminders", {}, 60)
    layer.registry.report(
        "web1.12",
        {
            "role": "worker",
            "host": "web1",
            "pid": 12,
            "started": time.time(),
            "version": "2.0.0",
            "slots": 4,
            "busy": 1,
            "done": 1234,
            "failed": 0,
            "retried": 0,
            "channels": ["apples"],
            "running": [{"channel": "apples", "consumer": "mysite.peel", "seconds": 3.25}],
        },
    )
    return layer


@pytest.fixture
def terminal_for(layer, monitored_server):
    with contextlib.ExitStack() as stack:

        def start(columns=100, rows=30, **env):
            variables = {"ASGI_REDIS_URL": monitored_server.url, **env}
            return stack.enter_context(Terminal(MONITOR, columns, rows, variables))

        yield start


@pytest.fixture
def terminal(filled, terminal_for):
    terminal = terminal_for()
    terminal.shows("cherries")
    return terminal


def rows(terminal):
    """The first words of the lines under the heading."""
    lines = terminal.lines
    start = next(number for number, line in enumerate(lines) if re.match(r"[A-Z]+[↑↓]?  ", line)) + 1
    return [line.split()[0] for line in lines[start:-1] if line]


class TestTables:
    def test_the_summary_and_the_channels_come_first(self, terminal):
        screen = terminal.shows("workers 1 (1 of 4 slots busy)")
        assert "waiting 6" in screen
        assert "channels 3" in screen
        assert rows(terminal) == ["cherries", "bananas", "apples"]
        assert "no reader" in screen
        assert terminal.lines[-1].startswith("q quit  tab/1-5 table")

    def test_a_digit_shows_another(self, terminal):
        for key, shown in [("2", "GROUP"), ("3", "3.2 s apples mysite.peel"), ("4", "reminders"), ("5", "master")]:
            terminal.press(key)
            terminal.shows(shown)
        terminal.press("1")
        terminal.shows("cherries")

    def test_tab_goes_through_them(self, terminal):
        terminal.press("\t")
        terminal.shows("GROUP")
        terminal.press("\t\t")
        terminal.shows("reminders")
        terminal.press(SHIFT_TAB)
        terminal.shows("mysite.peel")

    def test_what_happens_is_shown(self, terminal, layer):
        layer.send("dates", {})
        terminal.shows("dates")


class TestOrder:
    def test_s_sorts_by_the_next_column_and_r_the_other_way(self, terminal):
        terminal.press("s")
        terminal.shows("CHANNEL↑")
        assert rows(terminal) == ["apples", "bananas", "cherries"]
        terminal.press("r")
        terminal.shows("CHANNEL↓")
        assert rows(terminal) == ["cherries", "bananas", "apples"]
        terminal.press("s")
        terminal.shows("WAITING↑")
        assert rows(terminal) == ["apples", "bananas", "cherries"]

    def test_a_filter_is_typed_and_dropped(self, terminal):
        terminal.press("/ban")
        terminal.shows("filter: ban_")
        assert rows(terminal) == ["bananas"]
        terminal.press("\x7f\x7f\r")
        terminal.shows("filter: b ")
        assert rows(terminal) == ["bananas"]
        terminal.press("\x1b")
        terminal.shows("cherries")

    def test_keys_are_letters_while_a_filter_is_typed(self, terminal):
        terminal.press("/q")
        terminal.shows("filter: q_")
        assert terminal.process.poll() is None


class TestScrolling:
    @pytest.fixture
    def terminal(self, layer, terminal_for):
        for number in range(40):
            layer.send(f"c{number:02}", {})
        terminal = terminal_for(rows=16)
        terminal.press("s")
        terminal.shows("channels 40")
        terminal.shows("CHANNEL↑")
        return terminal

    def test_arrows_pages_home_and_end(self, terminal):
        page = 16 - len(["summary"] * 3 + ["tables", "heading", "keys"])
        eventually(lambda: len(rows(terminal)) == page)
        for key, first in [
            (DOWN, 1),
            (UP, 0),
            (UP, 0),
            (PAGE_DOWN, page),
            (PAGE_UP, 0),
            (END, 40 - page),
            (DOWN, 40 - page),
            (HOME, 0),
        ]:
            terminal.press(key)
            eventually(lambda first=first: rows(terminal)[0] == f"c{first:02}")


class TestSize:
    def test_it_follows_the_terminal(self, terminal):
        terminal.shows("REFUSED")
        terminal.resize(50, 12)
        eventually(lambda: terminal.lines[11].startswith("q quit"))
        terminal.shows("cherries")
        assert "REFUSED" not in terminal.text
        terminal.resize(140, 40)
        eventually(lambda: terminal.lines[39].startswith("q quit"))
        terminal.shows("REFUSED")

    def test_however_small_it_is_it_goes_on(self, terminal):
        for columns, lines in [(1, 1), (20, 5), (10, 60)]:
            terminal.resize(columns, lines)
            terminal.press("\t")
        terminal.resize(100, 30)
        terminal.shows("reminders")

    def test_variables_of_the_shell_do_not_fix_it(self, filled, terminal_for):
        terminal = terminal_for(60, 20, COLUMNS="200", LINES="50")
        terminal.shows("cherries")
        eventually(lambda: terminal.lines[19].startswith("q quit"))


class TestEnd:
    def test_q_ends_it(self, terminal):
        assert ALTERNATE_SCREEN_ON in terminal.output
        assert not terminal.is_restored
        terminal.press("q")
        assert terminal.wait() == 0
        eventually(lambda: terminal.is_restored)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_it_in_order(self, terminal, number):
        terminal.signal(number)
        assert terminal.wait() == 128 + number
        eventually(lambda: terminal.is_restored)

    def test_ctrl_c_ends_it(self, terminal):
        terminal.press("\x03")
        assert terminal.wait() == 130
        eventually(lambda: terminal.is_restored)

    def test_ctrl_z_does_not_stop_it(self, terminal):
        terminal.press("\x1a2")
        terminal.shows("room")

    def test_an_error_leaves_the_terminal_as_it_was(self, monitored_server):
        program = (
            "import sys; from asgi_redis import __main__; from asgi_redis.monitor.terminal import view\n"
            "view.View.footer = lambda self: 1 // 0\n"
            f"sys.exit(__main__.main(['monitor', '--url', {monitored_server.url!r}]))"
        )
        with Terminal([sys.executable, "-c", program]) as terminal:
            assert terminal.wait() == 1
            eventually(lambda: terminal.is_restored)
            terminal.shows("ZeroDivisionError")


class TestTrouble:
    def test_a_picture_that_gets_old_says_so(self):
        program = (
            "import time; from asgi_redis import InMemoryChannelLayer; from asgi_redis.monitor import Monitor\n"
            "from asgi_redis.monitor.terminal.live import watch\n"
            "monitor = Monitor(InMemoryChannelLayer())  # which makes no pictures, as it is not open\n"
            "monitor.snapshot()['time'] -= 60\n"
            "watch(monitor)"
        )
        with Terminal([sys.executable, "-c", program]) as terminal:
            terminal.shows("this picture is 6")  # and some seconds, on a busy machine

    def test_an_outage_is_shown_and_ends(self, fresh_redis_server):
        command = [*MONITOR, "--url", fresh_redis_server.url]
        with Terminal(command) as terminal:
            terminal.shows("servers 1")
            fresh_redis_server.stop()
            terminal.shows("error: ")
            terminal.shows("cannot reach")
            fresh_redis_server.start()
            eventually(lambda: "error: " not in terminal.text, timeout=20)

    def test_a_report_cannot_write_to_the_terminal(self, layer, terminal):
        layer.registry.report(
            "evil",
            {
                "role": "\x1b[2J\x1b]0;owned\x07",
                "channels": 7,
                "busy": "many",
                "slots": [],
                "started": "then",
                "running": [{"seconds": 1, "channel": "\x1b[31m", "consumer": "\x9b31m"}, 5, {"seconds": "x"}],
            },
        )
        terminal.press("3")
        terminal.shows("evil")
        terminal.shows("1.0 s ?[31m ?31m")
        assert b"\x1b]0;owned" not in terminal.output


def test_without_rich_it_names_the_extra(monitored_server):
    program = (
        "import sys; sys.modules['rich'] = None\n"
        "from asgi_redis import __main__\n"
        f"sys.exit(__main__.main(['monitor', '--url', {monitored_server.url!r}]))"
    )
    with Terminal([sys.executable, "-c", program]) as terminal:
        assert terminal.wait() == 1
        terminal.shows('pip install "asgi_redis[monitor]"')
