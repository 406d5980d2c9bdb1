"""The commands ``peek``, ``purge`` and ``send``."""

from __future__ import annotations

import sys

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.terminal import Terminal


def test_peek_shows_the_oldest_and_takes_nothing(layer, asgi_redis):
    for number in range(3):
        layer.send("work", {"n": number})
    rows = asgi_redis("peek", "work", "--limit", "2", "--json").json
    assert [sorted(row) for row in rows] == [["age", "channel", "size"]] * 2
    assert layer.channel_statistics("work")["messages_pending"] == 3
    assert layer.receive(["work"]) == ("work", {"n": 0})


def test_peek_says_that_there_is_none(asgi_redis):
    assert asgi_redis("peek", "work").output == "no messages wait in work\n"
    assert asgi_redis("peek", "work", "--json").json == []


def test_peek_shows_content_only_if_it_is_asked_for(layer, asgi_redis):
    layer.send("work", {"text": "secret", "bytes": b"\xff\x1b"})
    assert "secret" not in asgi_redis("peek", "work").output
    ended = asgi_redis("peek", "work", "--content")
    assert '{"text": "secret", "bytes": "\\\\xff\\u001b"}' in ended.output
    assert asgi_redis("peek", "work", "--content", "--json").json[0]["content"]["text"] == "secret"


def test_peek_decrypts_with_the_keys_of_the_environment(monitored_server, asgi_redis):
    with RedisChannelLayer(hosts=[monitored_server.url], symmetric_encryption_keys=["new", "old"]) as layer:
        layer.send("work", {"n": 1})
    shown = asgi_redis("peek", "work", "--content", "--json", ASGI_REDIS_KEYS="newer new").json
    assert shown[0]["content"] == {"n": 1}
    assert asgi_redis("peek", "work", "--content", "--json").json[0]["content"] is None


def test_send_sends_an_object(layer, asgi_redis):
    assert asgi_redis("send", "work", '{"n": 1}').output == "sent to work\n"
    assert layer.receive(["work"]) == ("work", {"n": 1})
    assert asgi_redis("send", "work", "-", "--json", stdin='{"n": 2}').json == {"channel": "work", "sent": 1}
    assert layer.receive(["work"]) == ("work", {"n": 2})


def test_send_encrypts_with_the_first_key_of_the_environment(monitored_server, asgi_redis):
    assert asgi_redis("send", "work", '{"n": 1}', ASGI_REDIS_KEYS="new old").code == 0
    with RedisChannelLayer(hosts=[monitored_server.url], symmetric_encryption_keys=["new"]) as layer:
        assert layer.receive(["work"]) == ("work", {"n": 1})


def test_send_to_a_full_channel_fails(layer, asgi_redis):
    layer.send("work", {})
    ended = asgi_redis("send", "work", "{}", "--capacity", "1")
    assert (ended.code, ended.output) == (1, "")
    assert "holds 1 messages, its capacity" in ended.errors


@pytest.mark.parametrize("message", ["nothing", "[1]", "", '"text"', '{"a": ' + "[" * 100_000])
def test_a_message_that_is_no_object_exits_with_2(layer, asgi_redis, message):
    ended = asgi_redis("send", "work", "-", stdin=message)
    assert ended.code == 2
    assert "JSON" in ended.errors
    assert layer.receive(["work"]) == (None, None)


class TestPurge:
    @pytest.fixture(autouse=True)
    def _messages(self, layer):
        for _ in range(3):
            layer.send("work", {})

    @pytest.fixture
    def terminal(self, monitored_server):
        command = [sys.executable, "-m", "asgi_redis", "purge", "work"]
        with Terminal(command, env={"ASGI_REDIS_URL": monitored_server.url}) as terminal:
            terminal.shows("Delete the messages of work on RedisChannelLayer(")
            yield terminal

    def waiting(self, layer):
        return layer.channel_statistics("work")["messages_pending"]

    def test_it_deletes_the_messages_of_a_channel(self, layer, asgi_redis):
        layer.send("other", {})
        assert asgi_redis("purge", "work", "--yes").output == "purged 3 messages of work\n"
        assert self.waiting(layer) == 0
        assert layer.receive(["other"]) == ("other", {})
        assert asgi_redis("purge", "work", "--yes", "--json").json == {"channel": "work", "purged": 0}
        layer.send("work", {})
        assert asgi_redis("purge", "work", "--yes").output == "purged 1 message of work\n"

    def test_without_a_terminal_it_must_be_confirmed_by_a_flag(self, layer, asgi_redis):
        ended = asgi_redis("purge", "work", stdin="y\n")
        assert ended.code == 2
        assert "--yes" in ended.errors
        assert self.waiting(layer) == 3

    @pytest.mark.native("a thread reads the terminal")
    def test_on_a_terminal_it_asks(self, layer, terminal):
        terminal.press("y\n")
        assert terminal.wait() == 0
        assert self.waiting(layer) == 0

    @pytest.mark.native("a thread reads the terminal")
    def test_without_a_yes_it_deletes_nothing(self, layer, terminal):
        terminal.press("\n")
        assert terminal.wait() == 1
        assert self.waiting(layer) == 3

    @pytest.mark.native("a thread reads the terminal")
    def test_ctrl_c_deletes_nothing(self, layer, terminal):
        terminal.press("\x03")
        assert terminal.wait() == 130
        assert self.waiting(layer) == 3
