"""A thousand websockets of the chat example, while Redis loses its data."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis

from tests.browser.sockets import Socket
from tests.support.async_waiting import until

SOCKETS = 1000


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_thousand_sockets_hear_of_each_other_again(chat_on, fresh_redis_server):
    """After a restart without data, and after FLUSHALL, each gets each message once, on the same connection."""
    pytest.importorskip("daphne")
    chat = chat_on(fresh_redis_server)

    async def run():
        sockets = []
        for _ in range(SOCKETS // 50):
            sockets += await asyncio.gather(*(Socket.open(chat.url) for _ in range(50)))
        await until(lambda: len(chat.members) == SOCKETS, timeout=60)
        members = sorted(chat.members)

        async def all_hear(text):
            chat.layer.send_group("chat.lobby", {"type": "chat.message", "sender": "test", "text": text})
            await until(lambda: all(socket.said(text) for socket in sockets), timeout=60)
            assert all(socket.said(text) == 1 for socket in sockets)

        await all_hear("before")
        fresh_redis_server.kill()
        await until(lambda: all({"problem": "Redis cannot be reached."} in s.received for s in sockets), timeout=60)
        fresh_redis_server.start()
        began = time.monotonic()
        await until(lambda: all({"problem": ""} in socket.received for socket in sockets), timeout=60)
        times = [time.monotonic() - began]
        assert sorted(chat.members) == members
        await all_hear("after a restart")
        with redis.Redis.from_url(fresh_redis_server.url) as client:
            client.flushall()
        began = time.monotonic()
        await until(lambda: len(chat.members) == SOCKETS, timeout=60)
        times.append(time.monotonic() - began)
        await all_hear("after FLUSHALL")
        assert max(times) < 20, times  # it is 1 and 5 on a machine that is not busy
        assert not any(socket.ended for socket in sockets)
        for socket in sockets:
            await socket.close()
        await until(lambda: not chat.members, timeout=60)

    asyncio.run(run())
