"""
Processes that send and receive through one LMDB store, and are killed at any moment.

``python -m tests.support.stores.killing DIRECTORY load|token KILLS`` forks them, kills one after the other and starts
another in its place, and prints what it has seen as JSON.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path

from asgi_redis.engine.stores.lmdb.store import LMDBStore

QUEUE = "load"
SENDERS, RECEIVERS, TOKEN_HOLDERS = 3, 3, 5
BATCH = 3  # messages that a receiver takes at once


def receive(store, queues, limit, timeout):
    """Takes messages, waiting for them if there are none, as the face does."""
    if random.random() < 0.5:  # the face begins to wait at once after a call that had to wait
        received = store.pop(queues, limit, 60)
        if received:
            return received
    deadline = time.monotonic() + timeout
    with store.listen(queues) as listener:
        poll = select.poll()
        poll.register(listener.fileno(), select.POLLIN)
        while True:
            received = listener.pop(queues, limit, 60)
            left = deadline - time.monotonic()
            if received or left <= 0:
                return received
            poll.poll(min(left, listener.look_seconds) * 1000)


class Log:
    """Lines in a file: each is there as soon as it is written, and whole."""

    def __init__(self, path):
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, line):
        os.write(self._fd, line.encode() + b"\n")


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def goes_on(logs):
    """Whether the test does; a process that has lost its parent ends, too."""
    return not (logs / "stop").exists() and os.getppid() == int(logs.joinpath("stage").read_text())


def sender(store, logs, name):
    log, slow = Log(logs / f"sent-{name}"), Log(logs / "slow")
    number = 0
    while goes_on(logs):
        number += 1
        # Short messages, messages that need pages, and other records now and then.
        rest = b" " * random.choice([0, 0, 0, 3000, 20_000])
        began = time.monotonic()
        while not store.push([(QUEUE, QUEUE, f"{name}:{number} ".encode() + rest, 200)], 60)[0]:
            time.sleep(0.0005)  # full: the receivers' turn
        if number % 10 == 0:
            store.group_add("group", name, 0.1)
            store.push([(f"{member}!", f"{member}!", b"x", 1) for member in store.group_channels("group", 0.1)], 0.1)
        took = time.monotonic() - began
        log.write(str(number))
        if took > 1:
            slow.write(f"sender {took}")


def receiver(store, logs, name):
    log = Log(logs / f"received-{name}")
    while True:
        received = receive(store, [QUEUE], random.randint(1, BATCH), 1.0)
        if received:
            log.write(" ".join(message.split(b" ")[0].decode() for _, _, message in received))
        elif not goes_on(logs):
            return


def token_holder(store, logs, name):
    log = Log(logs / "passed")
    while goes_on(logs):
        for _, _, message in receive(store, ["token", f"other-{name}"], 1, 10.0):
            log.write(name)
            store.push([("token", "token", message, 10)], 60)


class Stage:
    def __init__(self, directory, logs):
        logs.joinpath("stage").write_text(str(os.getpid()))
        self.store = LMDBStore(directory, 16 << 20)
        self.logs = logs
        self.store.global_statistics()  # open: the children are forked from a process that uses it
        self.children = {}
        self.killed = Counter()

    def start(self, role):
        name = f"{role.__name__}-{sum(self.killed.values())}-{len(self.children)}"
        pid = os.fork()
        if not pid:
            try:
                role(self.store, self.logs, name)
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
        self.children[pid] = role

    def kill_one(self):
        pid = random.choice(list(self.children))
        role = self.children.pop(pid)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"{role.__name__} ended by itself: {status}"
        self.killed[role.__name__] += 1
        self.start(role)

    def stop(self):
        (self.logs / "stop").touch()
        for pid in self.children:
            _, status = os.waitpid(pid, 0)
            assert status == 0, f"{self.children[pid].__name__} ended with {status}"


def load(stage, kills):
    for role in [sender] * SENDERS + [receiver] * RECEIVERS:
        stage.start(role)
    for _ in range(kills):
        time.sleep(random.random() * 0.004)
        stage.kill_one()
    stage.stop()
    received = [line.split() for path in stage.logs.glob("received-*") for line in lines(path)]
    times = Counter(message for batch in received for message in batch)
    acknowledged = {f"{path.name[5:]}:{number}" for path in stage.logs.glob("sent-*") for number in lines(path)}
    disorder = 0
    for path in stage.logs.glob("received-*"):
        last = defaultdict(int)
        for message in " ".join(lines(path)).split():
            name, number = message.split(":")
            disorder += int(number) <= last[name]
            last[name] = int(number)
    counted = stage.store.channel_statistics(QUEUE, 60)
    return {
        "killed": dict(stage.killed),
        "acknowledged": len(acknowledged),
        "received": len(times),
        "twice": sum(count > 1 for count in times.values()),
        "disorder": disorder,
        "lost": len(acknowledged - times.keys()),
        "received_unacknowledged": len(times.keys() - acknowledged),
        "sent": counted.counters.sent,
        "known": len(acknowledged | times.keys()),
        "pending": counted.pending,
        "slow": lines(stage.logs / "slow"),
    }


def token(stage, kills):
    for _ in range(TOKEN_HOLDERS):
        stage.start(token_holder)
    passed, injected, asleep = stage.logs / "passed", 0, 0
    for _ in range(kills):
        before, began = passed.stat().st_size if passed.exists() else 0, time.monotonic()
        while not (passed.exists() and passed.stat().st_size > before):
            waited = time.monotonic() - began
            waits = waited > 0.5 and stage.store.channel_statistics("token", 60).pending
            # It died with its holder; or everybody sleeps while it waits, unless the machine is just slow.
            if waited > (5 if waits else 0.5):
                asleep += bool(waits)
                injected += 1
                stage.store.push([("token", "token", b"token", 10)], 60)
                began = time.monotonic()
            time.sleep(0.0002)
        stage.kill_one()
    stage.logs.joinpath("stop").touch()
    for pid in stage.children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return {
        "killed": dict(stage.killed),
        "injected": injected,
        "asleep": asleep,
        "passed": len(lines(passed)),
    }


def main():
    base, what, kills = sys.argv[1:]
    logs = Path(base) / "logs"
    logs.mkdir()
    stage = Stage(Path(base) / "store", logs)
    sys.stdout.write(json.dumps({"load": load, "token": token}[what](stage, int(kills))))


if __name__ == "__main__":
    main()
