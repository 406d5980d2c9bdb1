"""A worker that serves channels of a pub/sub layer."""

from __future__ import annotations

import time

import pytest

from tests.support.clusters import slot_of
from tests.support.pubsub.nodes import all_listening, other_master
from tests.support.pubsub.subscribers import subscribed
from tests.support.waiting import eventually
from workers import Worker, route
from workers.runtime.pool import Pool


@pytest.fixture(params=[1, 3])
def servers(request, three_fresh_redis_servers):
    return three_fresh_redis_servers[: request.param]


def test_a_worker_serves_its_channels_also_after_a_restart_of_redis(pubsub_layer_for, servers, prefix):
    layer = pubsub_layer_for(*servers, capacity=1000)
    ran = []

    def consumer(message):
        ran.append(message["n"])

    names = [f"{prefix}.work.{number}" for number in range(4)]
    worker = Worker(layer, [route(name, consumer) for name in names], pool=Pool(4))
    worker.start()
    try:
        eventually(lambda: all(name in layer.subscriptions.inboxes for name in names))
        eventually(lambda: all(inbox.confirmed for inbox in layer.subscriptions.inboxes.values()))
        eventually(lambda: worker.popping)
        for number in range(100):
            layer.send(names[number % 4], {"n": number})
        eventually(lambda: sorted(ran) == list(range(100)))
        for server in servers:
            server.kill()
            server.start()
        ran.clear()
        eventually(lambda: sorted(name for server in servers for name in subscribed(server, prefix)) == names)
        sender = pubsub_layer_for(*servers)
        for number in range(4):
            sender.send(names[number], {"n": number})
        eventually(lambda: sorted(ran) == list(range(4)))
    finally:
        worker.quiet()
        assert worker.stop(time.monotonic() + 10)


@pytest.mark.needs_redis(7, 0)  # sharded pub/sub
def test_a_worker_over_a_cluster_serves_its_channels_also_after_their_slots_have_moved(
    pubsub_layer_for, three_masters, prefix
):
    layer = pubsub_layer_for(*three_masters.urls, cluster=True, capacity=1000)
    sender = pubsub_layer_for(*three_masters.urls, cluster=True)
    ran = []

    def consumer(message):
        ran.append(message["n"])

    names = {f"{prefix}.work.{number}" for number in range(4)}
    worker = Worker(layer, [route(name, consumer) for name in names], pool=Pool(4))
    worker.start()
    try:
        for _ in range(2):
            eventually(lambda: all_listening(three_masters, prefix) == names)
            ran.clear()
            for number, name in enumerate(names):
                sender.send(name, {"n": number})
            eventually(lambda: sorted(ran) == list(range(4)))
            for name in names:
                three_masters.move_slot(slot_of(name), other_master(three_masters, name))
    finally:
        worker.quiet()
        assert worker.stop(time.monotonic() + 10)
