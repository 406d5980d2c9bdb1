"""A server's signals, which wait until the websockets are closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, signal, sys, threading
from asgi_redis.interface.server_end import watch_for_end

how, loop_kind, signals = sys.argv[1:]
said = []

async def main():
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    number = getattr(signal, signals.split()[0])

    def server_ends(*arguments):
        said.append("server")
        loop.call_soon_threadsafe(ended.set)

    if how == "handler":
        signal.signal(number, server_ends)
    else:
        loop.add_signal_handler(number, server_ends)

    async def close():
        said.append("close begins")
        if "again" in signals:
            loop.call_soon(os.kill, os.getpid(), number)
            await ended.wait()
        await asyncio.sleep(0.05)
        said.append("close ends")

    watch_for_end(loop, close)
    watch_for_end(loop, close)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(ended.wait(), 10)
    for _ in range(100):
        if said.count("close ends"):
            break
        await asyncio.sleep(0.01)

if loop_kind == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
print(said)
"""


def say(*arguments):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("how", ["handler", "loop"])
def test_the_server_gets_the_signal_after_the_websockets_are_closed(how, loop, number):
    pytest.importorskip(loop)
    assert say(how, loop, number) == "['close begins', 'close ends', 'server']"


@pytest.mark.parametrize("how", ["handler", "loop"])
def test_a_second_signal_goes_through_at_once(how):
    assert say(how, "asyncio", "SIGTERM again").startswith("['close begins', 'server', 'close ends'")


def test_threads_other_than_the_main_one_are_left_alone():
    program = "import asyncio, signal, threading\n"
    program += "from asgi_redis.interface.server_end import watch_for_end\n"
    program += "before = signal.getsignal(signal.SIGTERM)\n"
    program += "async def main():\n    watch_for_end(asyncio.get_running_loop(), None)\n"
    program += "thread = threading.Thread(target=asyncio.run, args=(main(),))\nthread.start()\nthread.join()\n"
    program += "assert signal.getsignal(signal.SIGTERM) is before"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=40)
