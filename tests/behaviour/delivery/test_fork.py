"""A layer that was made and used before a fork, as in prefork servers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from tests.support.proxy import Proxy

FORK = """
import json, os, sys
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=sys.argv[2:], prefix=sys.argv[1], capacity=1000)
layer.send("warm", {"number": 0})
layer.receive(["warm"])
layer.receive(["warm", "other"], block=False)

def report(who):
    for number in range(50):
        layer.send("work", {"number": number, "who": who})
        layer.send(f"own.{who}", {"number": number})
    own = [layer.receive([f"own.{who}"], block=bool(number % 2))[1]["number"] for number in range(50)]
    return {"who": who, "client_prefix": layer.client_prefix, "own": own}

def write(report):
    os.write(1, json.dumps(report).encode() + b"\\n")  # in one piece

before = layer.client_prefix
pids = []
for who in range(3):
    pid = os.fork()
    if pid == 0:
        write(report(f"child{who}"))
        os._exit(0)
    pids.append(pid)
mine = report("parent")
assert mine["client_prefix"] == before
write(mine)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0, "a child failed"
mine = report("parent_again")
write(mine)
"""


class TestFork:
    """A layer made and used before the fork, as in prefork servers."""

    @pytest.mark.parametrize("shards", [1, 3])
    def test_each_process_has_connections_and_a_client_prefix_of_its_own(
        self, layer_for, three_redis_servers, prefix, shards
    ):
        servers = three_redis_servers[:shards]
        with contextlib.ExitStack() as stack:
            proxies = [stack.enter_context(Proxy((server.host, server.port))) for server in servers]
            command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, prefix]
            ended = subprocess.run(
                command + [proxy.url for proxy in proxies], capture_output=True, text=True, timeout=50
            )
            assert ended.returncode == 0, ended.stderr
            assert all(proxy.connections >= 4 for proxy in proxies), "a connection is shared"
        reports = [json.loads(line) for line in ended.stdout.splitlines()]
        assert len(reports) == 5
        for report in reports:
            assert sorted(report["own"]) == list(range(50)), report
        prefixes = {report["who"]: report["client_prefix"] for report in reports}
        assert prefixes.pop("parent_again") == prefixes["parent"]
        assert len(set(prefixes.values())) == 4
        layer = layer_for(*[server.url for server in servers])
        received = []
        while True:
            _, message = layer.receive(["work"])
            if message is None:
                break
            received.append((message["who"], message["number"]))
        assert len(received) == len(set(received)) == 250
