"""The command ``monitor`` with ``--once`` and ``--json``, and ``ping`` and ``version``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from asgi_redis import __version__
from asgi_redis.monitor import command
from tests.support.terminal import Terminal

FAST = ("--interval", "0.2")


@pytest.fixture(autouse=True)
def _messages(layer):
    for _ in range(2):
        layer.send("a-channel-with-a-name-that-is-longer-than-a-narrow-terminal-has-columns-for-its-cells", {})
    layer.group_add("room", "websocket.send.p1!a")


def test_once_prints_a_picture_as_text(asgi_redis):
    ended = asgi_redis("monitor", "--once", *FAST)
    assert ended.code == 0
    assert "\x1b" not in ended.output
    assert "waiting 2  in 0.0/s  out 0.0/s  channels 1  groups 1" in ended.output
    titles = [line for line in ended.output.splitlines() if line in ("Channels", "Groups", "Workers", "Servers")]
    assert titles == ["Channels", "Groups", "Servers"]
    assert "a-channel-with-a-name-that-is-longer-than-a-narrow-terminal-has-columns-for-its-cells " in ended.output


@pytest.mark.parametrize("columns", [80, 60])
def test_it_fits_a_narrow_terminal(asgi_redis, columns):
    tables = asgi_redis("monitor", "--once", *FAST, COLUMNS=str(columns)).output.split("\n\n", 1)[1]
    assert max(map(len, tables.splitlines())) <= columns
    assert "a-channel-w" in tables


@pytest.mark.native("a thread reads the terminal")
def test_on_a_terminal_it_fits_that(monitored_server):
    command = [sys.executable, "-m", "asgi_redis", "monitor", "--once", *FAST, "--url", monitored_server.url]
    with Terminal(command, columns=60, rows=40) as terminal:
        assert terminal.wait() == 0
        terminal.shows("no reader")
    assert b"\x1b" not in terminal.output


def test_json_prints_a_snapshot_for_programs(asgi_redis):
    for flags in (["--json"], ["--once", "--json"]):
        snapshot = asgi_redis("monitor", *flags, *FAST).json
        assert snapshot["complete"]
        assert snapshot["totals"]["waiting"] == 2
        assert snapshot["channels"][0]["marks"] == ["no reader", "unread"]


def test_a_picture_with_an_error_exits_with_1(run):
    for flag in ("--once", "--json"):
        ended = run("monitor", flag, *FAST, "--url", "redis://:secret@127.0.0.1:1")
        assert ended.code == 1
        assert "127.0.0.1:1" in ended.errors
        assert "secret" not in ended.errors + ended.output
    assert json.loads(ended.output)["error"]


def test_without_a_terminal_the_live_view_exits_with_2(asgi_redis):
    ended = asgi_redis("monitor")
    assert ended.code == 2
    assert "--once" in ended.errors


@pytest.mark.parametrize("interval", ["0", "nan", "soon", "99999"])
def test_an_interval_must_be_possible(asgi_redis, interval):
    assert asgi_redis("monitor", "--once", "--interval", interval).code == 2


def test_once_needs_no_rich(asgi_redis, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert asgi_redis("monitor", "--once", *FAST).code == 0


def test_a_reader_that_has_seen_enough_is_no_crash(monitored_server):
    """As in ``asgi-redis channels | head -0``."""
    words = [sys.executable, "-m", "asgi_redis", "channels", "--url", monitored_server.url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_closed_streams_are_no_crash(monitored_server):
    shell = f"""
        {sys.executable} -m asgi_redis ping >&- && {sys.executable} -m asgi_redis purge work <&- >&-
        echo "exits with $?"
    """
    process = subprocess.run(["sh", "-c", shell], env={"ASGI_REDIS_URL": monitored_server.url}, capture_output=True)
    assert process.stdout == b"exits with 2\n"
    assert b"confirm it with --yes" in process.stderr


def test_ctrl_c_is_in_order_from_the_first_moment_on(run, monkeypatch):
    def interrupt(subjects):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "add_to", interrupt)
    assert run("version").code == 130


def test_ping_shows_each_server(asgi_redis, monitored_server):
    (row,) = asgi_redis("ping", "--json").json
    assert str(monitored_server.port) in row["name"]
    assert (row["error"], row["role"]) == ("", "master")
    assert 0 < row["latency"] < 5
    ended = asgi_redis("ping")
    assert ended.table[0][:3] == ["SERVER", "LATENCY", "ROLE"]
    assert ended.code == 0


def test_ping_exits_with_1_where_one_does_not_answer(asgi_redis, monitored_server):
    ended = asgi_redis("ping", "--json", "--url", monitored_server.url, "--url", "redis://127.0.0.1:1")
    assert ended.code == 1
    assert [bool(row["error"]) for row in json.loads(ended.output)] == [False, True]


def test_nothing_is_known_of_a_server_that_does_not_answer(run):
    for flags in (["ping"], ["monitor", "--once", *FAST]):
        lines = run(*flags, "--url", "redis://127.0.0.1:1").output.splitlines()
        heading = next(line for line in lines if line.startswith("SERVER"))
        name, *numbers = lines[lines.index(heading) + 1].split()
        assert name == "redis://127.0.0.1:1/0"
        assert numbers[:3] == ["-", "-", "-"]
        assert not any(" ms" in line for line in lines)


def test_version(run):
    assert run("version").output.splitlines()[0] == f"asgi_redis {__version__}"
    assert run("version", "--json").json["asgi_redis"] == __version__
