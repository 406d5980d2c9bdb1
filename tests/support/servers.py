"""The servers that the tests need beyond a plain one: with TLS, with ACL users, watched by a Sentinel."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis

from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually

ACL_USER = "alice"
ACL_PASSWORD = "wonder/land @ 7"  # characters that have to be quoted in a URL


@dataclass
class TLSServer:
    """A server that speaks TLS, with the certificate that a client has to trust."""

    server: RedisServer
    ca_file: str

    @property
    def url(self) -> str:
        return self.server.url


@dataclass
class Sentinel:
    """A master and its replica, watched by one Sentinel."""

    master: RedisServer
    replica: RedisServer
    watcher: RedisServer
    master_name: str = "service"
    sentinels: list[tuple[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        assert self.watcher.port is not None
        self.sentinels = [(self.watcher.host, self.watcher.port)]


@contextlib.contextmanager
def run_tls_server(directory: Path) -> Iterator[TLSServer]:
    """Raises RedisServerError if the binary was built without TLS."""
    certificate, key = make_certificate(directory)
    options = {
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "tls-ca-cert-file": certificate,
        "tls-auth-clients": "no",
    }
    with RedisServer(options) as server:
        yield TLSServer(server, certificate)


@contextlib.contextmanager
def run_acl_server() -> Iterator[RedisServer]:
    """A server that lets nobody in but ACL_USER with ACL_PASSWORD."""
    users = [
        ("user", ["default", "off"]),
        ("user", [ACL_USER, "on", f">{ACL_PASSWORD}", "~*", "&*", "+@all"]),
    ]
    with RedisServer(users) as server:
        yield server


@contextlib.contextmanager
def run_sentinel(down_after_milliseconds: int = 300) -> Iterator[Sentinel]:
    """
    Returns when the Sentinel knows the replica, so that a failover can succeed.

    A master that is silent for ``down_after_milliseconds`` is failed over.
    """
    with contextlib.ExitStack() as stack:
        # Without a backlog delay, the replica is in sync in well under a second.
        master = stack.enter_context(RedisServer({"repl-diskless-sync-delay": 0}))
        replica = stack.enter_context(RedisServer({"replicaof": [master.host, master.port or 0]}))
        with redis.Redis(port=replica.port or 0, protocol=2) as client:
            eventually(lambda: client.info("replication")["master_link_status"] == "up", timeout=20)
        name = "service"
        directives = [
            ("sentinel", ["monitor", name, master.host, master.port or 0, 1]),
            ("sentinel", ["down-after-milliseconds", name, down_after_milliseconds]),
            ("sentinel", ["failover-timeout", name, 2000]),
        ]
        watcher = stack.enter_context(RedisServer(directives, sentinel=True))
        with redis.Redis(port=watcher.port or 0, protocol=2) as client:
            eventually(lambda: client.sentinel_slaves(name)[0]["flags"] == "slave", timeout=20)
        yield Sentinel(master, replica, watcher, name)


def pause(server: RedisServer) -> None:
    """Stops the process without ending it: its sockets accept, and nothing is answered."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)


def resume(server: RedisServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGCONT)


def make_certificate(directory: Path) -> tuple[str, str]:
    """Writes a self-signed certificate for 127.0.0.1 and localhost, and returns both paths."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "redis.crt", directory / "redis.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(certificate_file), str(key_file)
