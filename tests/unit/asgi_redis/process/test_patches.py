"""What patches of the standard library mean."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

LAYERS = """
import eventlet
if {first}:
    eventlet.monkey_patch()
import asgi_redis
from asgi_redis.exceptions import UnsupportedPatches
try:
    layer = asgi_redis.{layer}
    eventlet.monkey_patch()
    layer.send("a", {{"n": 1}})
except UnsupportedPatches as error:
    print(error)
"""


# Not importorskip: once imported, eventlet warns of every fork of the process.
@pytest.mark.skipif(find_spec("eventlet") is None, reason="needs eventlet")
@pytest.mark.parametrize(
    ("layer", "first"),
    [
        pytest.param("InMemoryChannelLayer()", True, marks=pytest.mark.soak),
        pytest.param("RedisChannelLayer()", True, marks=pytest.mark.soak),
        ("RedisChannelLayer()", False),
    ],
)
def test_eventlet_is_refused_by_name_before_anything_is_sent(layer: str, first: bool) -> None:
    program = LAYERS.format(layer=layer, first=first)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert "does not work under eventlet.monkey_patch(); use gevent, or threads" in ran.stdout, ran.stderr
