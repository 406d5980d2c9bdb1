"""
Tests that a synchronous channel layer keeps the rules of ASGI 1.x, and the promises that this project adds.

For pytest, and for anyone's layer::

    import pytest
    from asgi_redis.conformance import ChannelLayerConformance

    class TestMyLayer(ChannelLayerConformance):
        @pytest.fixture
        def make_layer(self):
            return MyLayer

``make_layer(**settings)`` returns a new, empty layer. It is given ``expiry``, ``group_expiry``, ``capacity``,
``channel_capacity`` and ``max_message_bytes``, where a test depends on them. The suite has the fixtures ``layer`` and
``layer_for`` itself, so ``make_layer`` must not ask for others of these names. What a layer does not do is said with
the attributes of ``asgi_redis.conformance.suite.Suite``: ``receive_batch = False`` skips the tests of it.
"""

import pytest

# Before they are imported: their assertions are to explain themselves as those of a test file do.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "capacity",
            "expiry",
            "groups",
            "input",
            "messages",
            "names",
            "order",
            "processes",
            "statistics",
            "threads",
            "waiting",
        )
    )
)

from asgi_redis.conformance.capacity import CapacityTests  # noqa: E402  see above
from asgi_redis.conformance.expiry import ExpiryTests  # noqa: E402
from asgi_redis.conformance.groups import GroupTests  # noqa: E402
from asgi_redis.conformance.input import InputTests  # noqa: E402
from asgi_redis.conformance.messages import MessageTests  # noqa: E402
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
    WaitingTests,
    ThreadTests,
    ProcessTests,
):
    """The whole suite. To be subclassed, with a fixture ``make_layer``."""
