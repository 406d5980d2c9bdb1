"""The inspector of a layer with two sides: normal channels on this machine, the rest on Redis."""

from __future__ import annotations

import pytest

from asgi_redis.exceptions import InvalidName
from tests.support.servers import pause, resume


def swept(layer):
    queues, groups = {}, {}
    for found in layer.inspector.sweep():
        queues.update(found.queues)
        groups.update(found.groups)
    return queues, groups


def test_each_channel_is_looked_at_on_its_side(layer, redis_layer):
    for channel in ("normal", "normal", "mine!1", "single?reader"):
        layer.send(channel, {"to": channel})
    for _ in range(7):
        redis_layer.send("normal", {"to": "others"})
    for member in ("normal", "mine!1"):
        layer.group_add("chat", member)
    layer.delayed.send("normal", {}, 100)
    assert swept(layer) == ({"normal": 2, "mine!": 1, "single?reader": 1}, {"chat": 2})
    assert [one.role for one in layer.inspector.servers()] == ["master"]
    assert layer.inspector.delayed(1).first[0][0] == "normal"
    for channel, number in (("normal", 2), ("single?reader", 1)):
        messages = layer.inspector.peek(channel, 10, content=True)
        assert [(one.channel, one.content) for one in messages] == [(channel, {"to": channel})] * number
    assert layer.inspector.purge("normal") == 2
    assert layer.inspector.purge("mine!") == 1
    assert layer.inspector.purge("mine!") == 0
    assert redis_layer.inspector.purge("normal") == 7


@pytest.mark.parametrize("channel", ["no name", "mine!1", 7])
def test_a_name_that_cannot_be_received_from_cannot_be_looked_at(layer, channel):
    for call in (lambda: layer.inspector.peek(channel, 1), lambda: layer.inspector.purge(channel)):
        with pytest.raises(InvalidName):
            call()


def test_this_machine_is_looked_at_while_redis_hangs(local_layer_for, fresh_redis_server):
    layer = local_layer_for(hosts=[fresh_redis_server.url])
    layer.send("normal", {})
    pause(fresh_redis_server)
    steps, found = layer.inspector.sweep(), {}
    while not found:
        found = next(steps).queues
    resume(fresh_redis_server)
    assert found == {"normal": 1}
