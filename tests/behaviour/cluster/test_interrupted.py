"""An exception before each instruction of a receive whose slot is on the move: no message is lost nor comes twice."""

from __future__ import annotations

import pytest

from tests.behaviour.delivery.test_interrupted_anywhere import Batch, Group, Looking, Waiting, interrupt_everywhere

SCENES = [Looking, Waiting, Batch, Group]


@pytest.fixture
def scene(request, masters, cluster_layer, move):
    """All keys have moved, and the slot has not: each request is sent on to the other node, for itself alone."""
    layer = cluster_layer(masters)
    layer.block_timeout = 1
    scene = request.param(layer)
    scene.send()
    scene.receive()
    move.begin()
    move.migrate()
    return scene


@pytest.mark.parametrize("scene", SCENES, indirect=True, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("part", [pytest.param(5, marks=pytest.mark.soak, id="many"), pytest.param(101, id="some")])
def test_no_message_is_lost_nor_comes_twice(scene, part):
    interrupt_everywhere(scene, part)
