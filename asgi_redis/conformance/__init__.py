"""
A test suite for synchronous channel layers, by ASGI 1.x and our promises.

It runs under pytest, for a layer of any project::

    import pytest
    from asgi_redis.conformance import ChannelLayerConformance

    class TestMyLayer(ChannelLayerConformance):
        @pytest.fixture
        def make_layer(self):
            return MyLayer

``make_layer(**options)`` returns a new, empty layer. The suite passes ``expiry``, ``group_expiry``, ``capacity``,
``channel_capacity`` and ``max_message_bytes`` where a test depends on them. It has fixtures ``layer`` and
``layer_for``, so ``make_layer`` must not use other fixtures of these names. A class attribute says that the layer
lacks an ability: with ``receive_batch = False`` the tests of ``receive_batch`` are skipped. The attributes are those
of ``asgi_redis.conformance.suite.Suite``.
"""

from pathlib import Path

import pytest

# Before they are imported: their assertions then explain themselves as those of a test file do.
pytest.register_assert_rewrite(*(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("[a-z]*.py")))

from asgi_redis.conformance.capacity import CapacityTests  # noqa: E402  see above
from asgi_redis.conformance.expiry import ExpiryTests  # noqa: E402
from asgi_redis.conformance.groups import GroupTests  # noqa: E402
from asgi_redis.conformance.input import InputTests  # noqa: E402
from asgi_redis.conformance.messages import MessageTests  # noqa: E402
from asgi_redis.conformance.monitoring import MonitoringTests  # noqa: E402
from asgi_redis.conformance.names import NameTests  # noqa: E402
from asgi_redis.conformance.order import OrderTests  # noqa: E402
from asgi_redis.conformance.processes import ProcessTests  # noqa: E402
from asgi_redis.conformance.statistics import StatisticsTests  # noqa: E402
from asgi_redis.conformance.threads import ThreadTests  # noqa: E402
from asgi_redis.conformance.waiting import WaitingTests  # noqa: E402

__all__ = ["ChannelLayerConformance"]


class ChannelLayerConformance(
    NameTests,
    MessageTests,
    InputTests,
    OrderTests,
    ExpiryTests,
    CapacityTests,
    GroupTests,
    StatisticsTests,
    MonitoringTests,
    WaitingTests,
    ThreadTests,
    ProcessTests,
):
    """The whole suite. A subclass has a fixture ``make_layer``."""
