"""Services with a master and replicas each, and the Sentinels that watch them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import redis

from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually

DOWN_AFTER_MILLISECONDS = 300
PATIENT_DOWN_AFTER_MILLISECONDS = 30_000  # Sentinel's default: masters of a busy machine are not missed


class Cluster:
    """``services`` are lists of servers, the first of which was the master at the start."""

    def __init__(self, services: dict[str, list[RedisServer]], watchers: Sequence[RedisServer]) -> None:
        self.services = services
        self.watchers = watchers

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """What a layer's ``hosts`` want."""
        return [(watcher.host, watcher.port or 0) for watcher in self.watchers]

    def master_of(self, service: str) -> RedisServer:
        """Returns the server that is a master by its own account and by that of the Sentinels."""

        def agreed() -> RedisServer | None:
            ports = set()
            for watcher in self.watchers:
                if watcher.running:
                    with client_of(watcher) as client:
                        address = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
                        ports.add(int(address[1]))
            (port,) = ports
            server = next(one for one in self.services[service] if one.port == port)
            with client_of(server, socket_timeout=0.5) as client:
                return server if client.role()[0] == b"master" else None

        return eventually(agreed, timeout=20)

    def failover(self, service: str) -> None:
        """Makes another server the master, in good order."""
        with client_of(self.watchers[0]) as client:
            eventually(lambda: client.execute_command("SENTINEL", "FAILOVER", service), timeout=10)

    def replicas_in_sync(self, service: str) -> bool:
        """Whether all running replicas have a link to the master."""
        master = self.master_of(service)
        with client_of(master) as client:
            info = client.info("replication")
        running = sum(one.running for one in self.services[service]) - 1
        return sum(info.get(f"slave{n}", {}).get("state") == "online" for n in range(running)) == running


def client_of(server: RedisServer, **options: object) -> redis.Redis:
    return redis.Redis(port=server.port or 0, protocol=2, **options)  # type: ignore[call-overload, no-any-return]


@contextlib.contextmanager
def run_cluster(
    names: Sequence[str],
    replicas: int = 1,
    watchers: int = 3,
    master_options: dict[str, object] | None = None,
    password: str | None = None,
    down_after_milliseconds: int = DOWN_AFTER_MILLISECONDS,
) -> Iterator[Cluster]:
    """
    Returns when every Sentinel knows the replicas and the other Sentinels, so that a failover can succeed.

    ``password`` is the Sentinels'. A master that is silent for ``down_after_milliseconds`` is failed over.
    """
    with contextlib.ExitStack() as stack:
        services: dict[str, list[RedisServer]] = {}
        for name in names:
            # Without the delay, a replica is in sync in well under a second.
            options = {"repl-diskless-sync-delay": 0, **(master_options or {})}
            master = stack.enter_context(RedisServer(options))  # type: ignore[arg-type]
            options["replicaof"] = [master.host, master.port or 0]
            services[name] = [master, *(stack.enter_context(RedisServer(options)) for _ in range(replicas))]  # type: ignore[arg-type]
        quorum = watchers // 2 + 1
        directives: list[tuple[str, object]] = []
        for name in names:
            master = services[name][0]
            directives += [
                ("sentinel", ["monitor", name, master.host, master.port or 0, quorum]),
                ("sentinel", ["down-after-milliseconds", name, down_after_milliseconds]),
                ("sentinel", ["failover-timeout", name, 3000]),
            ]
        if password:
            directives.append(("requirepass", password))
        running = [
            stack.enter_context(RedisServer(directives, sentinel=True))  # type: ignore[arg-type]
            for _ in range(watchers)
        ]
        cluster = Cluster(services, running)

        def complete() -> bool:
            for watcher in running:
                with client_of(watcher, password=password) as client:
                    for state in client.sentinel_masters().values():
                        if state["num-other-sentinels"] != watchers - 1 or state["num-slaves"] != replicas:
                            return False
            return all(cluster.replicas_in_sync(name) for name in names if replicas)

        eventually(complete, timeout=30)
        yield cluster
