"""Processes that fork, and that end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import asgi_redis
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

ROOT = Path(asgi_redis.__file__).parent.parent

USE = """
import asyncio, atexit, sys, threading

loops = []  # that run in other threads
OURS = "pipeline", "receiver", "calls", "memberships", "retry"

@atexit.register  # before the package registers its own, and so called after that
def look_for_threads():
    for loop in loops * 3:  # what it has been told of the end, it goes on with now
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        assert turned.wait(5)
    names = [thread.name for thread in threading.enumerate()]
    print(*[name for name in names if name.startswith(OURS)], end="")

from asgi_redis import aio
shards = {"shards": 2} if sys.argv[3] == "RedisClusterChannelLayer" else {}
layer = getattr(aio, sys.argv[3])([sys.argv[1]], prefix=sys.argv[2], **shards)
async def use():
    channel = await layer.new_channel()
    await layer.group_add("chat", channel)
    await layer.group_send("chat", {"type": "hello"})
    assert await layer.receive(channel) == {"type": "hello"}
    await layer.group_discard("chat", channel)
    return asyncio.ensure_future(layer.receive(channel))
"""

ENDINGS = {
    "after asyncio.run": "asyncio.run(use())",
    "with a loop that is left open": """
loop = asyncio.new_event_loop()
waiting = loop.run_until_complete(use())
loop.run_until_complete(asyncio.sleep(0.01))
waiting._log_destroy_pending = False
waiting.get_coro().close()
loop.close()
""",
    "closed": "asyncio.run(use()); asyncio.run(layer.close())",
    "with sys.exit in a coroutine": """
async def leave():
    waiting = await use()
    sys.exit(0)
asyncio.run(leave())
""",
    "while another thread runs a loop": """
def run():
    async def forever():
        waiting = await use()
        loops.append(asyncio.get_running_loop())
        loops[0].call_soon(waits.set)  # when it does wait
        await waiting
    asyncio.run(forever())
waits = threading.Event()
threading.Thread(target=run, daemon=True).start()
waits.wait()
asyncio.run(use())
""",
    "with other layers": """
from asgi_redis import InMemoryChannelLayer, RedisChannelLayer as Blocking
others = [aio.AsyncChannelLayer(InMemoryChannelLayer()), aio.AsyncChannelLayer(Blocking(hosts=[sys.argv[1]]))]
async def both():
    for layer in others:
        await layer.send("work", {})
        assert await layer.receive("work") == {}
asyncio.run(both())
""",
    "without any use": "",
}


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("RedisChannelLayer", ending) for ending in ENDINGS]
    + [
        pytest.param(kind, ending, marks=[pytest.mark.soak] if nth else [])
        for kind in ("RedisPubSubChannelLayer", "RedisClusterChannelLayer")
        for nth, ending in enumerate(ENDINGS)
    ],
)
def test_a_process_ends_at_once_and_without_a_word(kind, ending, redis_server, single_node_cluster, prefix):
    url = single_node_cluster.urls[0] if kind == "RedisClusterChannelLayer" else redis_server.url
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", USE + ENDINGS[ending], url, prefix, kind],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    # asyncio's debug mode remarks on a busy machine, too.
    words = [line for line in ended.stderr.splitlines() if not line.startswith("Executing <")]
    assert (ended.returncode, ended.stdout, words) == (0, "", [])


def in_child(work):
    """Runs ``work()`` in a forked process; returns its exit code."""
    pid = os.fork()
    if not pid:
        signal.alarm(20)  # nobody else would end it
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  there is nobody else to tell
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.native("forks with threads")
def test_a_forked_process_has_threads_connections_and_names_of_its_own(any_layer):
    layer = any_layer

    async def use(rounds):
        channel = await layer.new_channel()
        for number in range(rounds):
            await layer.send(channel, {"number": number})
            assert await asyncio.wait_for(layer.receive(channel), 5) == {"number": number}
        return channel

    parents = asyncio.run(use(10))

    def child():
        mine = asyncio.run(use(100))
        assert mine.partition("!")[0] != parents.partition("!")[0]

    async def fork_while_waiting():
        waiting = asyncio.ensure_future(layer.receive(parents))
        await asyncio.sleep(0.01)
        assert await asyncio.get_running_loop().run_in_executor(None, in_child, child) == 0
        await layer.send(parents, {"number": 0})
        assert await asyncio.wait_for(waiting, 5) == {"number": 0}

    asyncio.run(fork_while_waiting())
    asyncio.run(use(10))


@pytest.mark.native("forks with threads")
def test_a_forked_process_renews_its_own_memberships_and_not_those_of_the_parent(
    aio_for, redis_server, client, prefix
):
    layer = aio_for(redis_server, group_lease=1)

    async def join():
        channel = await layer.new_channel()
        await layer.group_add("chat", channel)
        return channel

    parents = asyncio.run(join())

    def child():
        mine = asyncio.run(join())
        # At once: a round that came in between would take it for a discard.
        with client.pipeline() as both:
            both.zrem(f"{prefix}:group:chat", parents, mine).delete(
                f"{prefix}:joined:{layer.client_prefix}"
            ).execute()
        eventually(lambda: client.zrange(f"{prefix}:group:chat", 0, -1) == [mine.encode()])

    assert in_child(child) == 0
    asyncio.run(join())
    eventually(lambda: client.exists(f"{prefix}:joined:{layer.client_prefix}"))
