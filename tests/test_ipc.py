"""``IPCChannelLayer``: the layer over the LMDB store, in one process and between several."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asgi_redis import ChannelFull, IPCChannelLayer, MessageTooLarge
from asgi_redis.conformance import ChannelLayerConformance
from asgi_redis.exceptions import ConfigurationError
from tests.conformance import load_conformance_test_case
from tests.stores.lmdb_stores import ROOT, base, run  # noqa: F401  a fixture

ConformanceTestCase = load_conformance_test_case()
ConformanceTestCase.__test__ = False  # only its subclasses are tests

MAKE = "import sys; from asgi_redis import IPCChannelLayer; layer = IPCChannelLayer(path=sys.argv[1])\n"


@pytest.fixture
def layer_for(base):  # noqa: F811
    with contextlib.ExitStack() as stack:

        def make(**settings):
            return stack.enter_context(IPCChannelLayer(**{"path": base, **settings}))

        yield make


@pytest.fixture
def layer(layer_for):
    return layer_for()


class TestConformance(ConformanceTestCase):
    """asgiref 1.1.2's suite."""

    __test__ = True
    expiry_delay = 1.1
    capacity_limit = 5
    options = {}

    @pytest.fixture(autouse=True)
    def _layer(self, layer_for):
        self.channel_layer = layer_for(expiry=1, group_expiry=0.5, capacity=self.capacity_limit, **self.options)


class TestConformanceEncrypted(TestConformance):
    """With a key, and an old one that still decrypts."""

    options = {"symmetric_encryption_keys": ["new", "old"]}


class TestOurConformance(ChannelLayerConformance):
    """This project's own suite."""

    @pytest.fixture
    def make_layer(self, base):  # noqa: F811
        return functools.partial(IPCChannelLayer, path=base)


class TestSettings:
    def test_an_unknown_one_is_named(self, layer_for):
        with pytest.raises(TypeError, match="IPCChannelLayer has no setting 'max_byte'; did you mean 'max_bytes'"):
            layer_for(max_byte=1 << 20)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"max_bytes": 1000}, "max_bytes must be a number of bytes, at least 1048576, not 1000"),
            ({"max_bytes": "64M"}, "max_bytes"),
            ({"max_bytes": True}, "max_bytes"),
            ({"max_message_bytes": 0}, "max_message_bytes"),
            ({"max_message_bytes": 40 << 20}, "at most half of max_bytes, 33554432, not 41943040"),
            ({"prefix": ""}, "prefix"),
            ({"expiry": 0}, "expiry"),
            ({"symmetric_encryption_keys": "abc"}, "symmetric_encryption_keys"),
        ],
    )
    def test_one_that_cannot_work_is_refused(self, layer_for, settings, message):
        with pytest.raises(ConfigurationError, match=message):
            layer_for(**settings)

    def test_prefixes_keep_layers_apart(self, layer_for):
        one, other = layer_for(prefix="one"), layer_for(prefix="other")
        one.send("a", {"n": 1})
        assert other.receive(["a"]) == (None, None)
        assert layer_for(prefix="one").receive(["a"]) == ("a", {"n": 1})

    def test_stores_are_in_memory_unless_told_otherwise(self):
        layer = IPCChannelLayer(prefix="never used")
        assert f"asgi-redis-ipc-{os.geteuid()}" in str(layer)
        if Path("/dev/shm").is_dir():
            assert str(layer).startswith("IPCChannelLayer(path='/dev/shm/")

    def test_a_key_is_not_in_what_it_shows(self, layer_for):
        assert "secret" not in str(layer_for(symmetric_encryption_keys=["secret"]))

    def test_without_lmdb_it_names_the_extra_and_the_rest_works(self):
        output = run(
            "import sys; sys.modules['lmdb'] = None\n"
            "import asgi_redis\n"
            "try:\n"
            "    asgi_redis.IPCChannelLayer()\n"
            "except ImportError as error:\n"
            "    print(error)"
        )
        assert output == 'IPCChannelLayer needs lmdb: pip install "asgi_redis[ipc]"\n'

    def test_importing_the_package_does_not_import_lmdb(self):
        assert run("import sys, asgi_redis; print('lmdb' in sys.modules)") == "False\n"


class TestLimits:
    def test_a_message_that_is_too_large_is_refused(self, layer_for):
        layer = layer_for(max_message_bytes=1000)
        with pytest.raises(MessageTooLarge, match="max_message_bytes is 1000"):
            layer.send("a", {"data": b"x" * 1000})

    def test_used_up_memory_is_a_full_channel_and_can_be_read(self, layer_for):
        layer = layer_for(max_bytes=1 << 20, capacity=10**6)

        def send_for_ever():
            while True:
                layer.send("a", {"data": b"x" * 1000})

        with pytest.raises(
            ChannelFull, match=r"no room .* on channel a: the memory of IPCChannelLayer\(.*\) is used up"
        ):
            send_for_ever()
        sent = layer.channel_statistics("a")["messages_pending"]
        assert 300 < sent < 1000
        for _ in range(sent):
            assert layer.receive(["a"])[0] == "a"
        layer.send("a", {"n": 1})

    def test_the_largest_message_that_is_allowed_can_be_sent(self, layer):
        layer.send("a", {"data": b"x" * (8 * 1024 * 1024 - 100)})
        assert len(layer.receive(["a"])[1]["data"]) == 8 * 1024 * 1024 - 100


class TestBadInput:
    def test_what_cannot_be_decoded_is_dropped_and_the_next_one_is_read(self, layer_for, caplog):
        layer = layer_for(symmetric_encryption_keys=["right"])
        layer_for(symmetric_encryption_keys=["wrong"]).send("a", {"secret": "text"})
        layer_for(serializer_format="json").send("a", {"secret": "text"})
        layer.send("a", {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})
        assert layer.undecodable_count == 2
        assert caplog.text.count("Dropped a message on channel a") == 2
        assert "text" not in caplog.text


class TestProcesses:
    def test_a_message_goes_to_another_process_and_back(self, layer, base):  # noqa: F811
        process = run(
            MAKE + "channel, message = layer.receive(['there'], block=True)\n"
            "layer.send(message['reply_channel'], {'heard': message['text']})",
            base,
            wait=False,
        )
        reply_channel = layer.new_channel("back?")
        layer.send("there", {"text": "hello", "reply_channel": reply_channel})
        assert layer.receive([reply_channel], block=True) == (reply_channel, {"heard": "hello"})
        process.communicate(timeout=20)
        assert process.returncode == 0

    def test_a_group_reaches_members_in_other_processes(self, layer, base):  # noqa: F811
        own = f"own.{layer.client_prefix}!"
        layer.group_add("all", f"{own}one")
        layer.group_add("all", f"{own}two")
        run(MAKE + "assert layer.send_group('all', {'n': 1}) == 0", base)
        received = [layer.receive([own]) for _ in range(2)]
        assert received == [(f"{own}one", {"n": 1}), (f"{own}two", {"n": 1})]

    def test_a_child_of_a_fork_shares_the_layer_but_not_its_client_prefix(self, layer):
        layer.send("a", {"n": 0})
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            layer.send("answer", {"received": layer.receive(["a"])[1]["n"]})
            os.write(writing, layer.client_prefix.encode())
            os._exit(0)
        assert layer.receive(["answer"], block=True) == ("answer", {"received": 0})
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(reading, 100).decode() not in ("", layer.client_prefix)
        os.close(reading)
        os.close(writing)

    def test_a_blocking_receive_is_woken_at_once_and_costs_no_cpu_meanwhile(self, base):  # noqa: F811
        """Generous: it is within 1 ms where nothing else runs."""
        process = run(
            MAKE + "import time\n"
            "print('ready', flush=True)\n"
            "before = time.process_time()\n"
            "channel, message = layer.receive(['work'], block=True)\n"
            "woken = time.clock_gettime(time.CLOCK_MONOTONIC)\n"
            "print(woken - message['sent'], time.process_time() - before)",
            base,
            wait=False,
        )
        process.stdout.readline()
        assert not select.select([process.stdout], [], [], 1)[0]
        with IPCChannelLayer(path=base) as layer:
            layer.send("work", {"sent": time.clock_gettime(time.CLOCK_MONOTONIC)})
        took, cpu = map(float, process.communicate(timeout=20)[0].split())
        assert took < 0.5
        assert cpu < 0.05


class TestWaiting:
    def test_unblock_ends_what_waits(self, layer):
        layer.block_timeout = 20
        received = []
        thread = threading.Thread(target=lambda: received.append(layer.receive(["a"], block=True)))
        thread.start()
        while thread.is_alive():
            layer.unblock()
            thread.join(0.01)
        assert received == [(None, None)]

    def test_a_reader_is_unblocked_also_before_it_waits(self, layer):
        reader = layer.reader()
        assert not reader.serving
        assert reader.receive_batch(["a"], 1, 20) == []  # the first call only looks
        assert reader.serving
        reader.unblock()
        assert reader.receive_batch(["a"], 1, 20) == []
        layer.send("a", {"n": 1})
        layer.send("a", {"n": 2})
        assert reader.receive_batch(["a"], 10, 20, most={"a": 1}) == [("a", {"n": 1})]

    def test_a_time_of_waiting_is_kept(self, layer):
        began = time.monotonic()
        assert layer.receive_batch(["a", "b"], 1, timeout=0.2) == []
        assert 0.2 <= time.monotonic() - began < 5


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from asgi_redis import IPCChannelLayer

layer = IPCChannelLayer(path=sys.argv[1], capacity=10_000)
layer.block_timeout = 20
received, ticks = [], []

def read(number):
    while True:
        channel, message = layer.receive(["work", f"own{number}"], block=True)
        if message == {"stop": True}:
            return
        received.append(message["n"])

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

readers = [gevent.spawn(read, number) for number in range(20)]
ticking = gevent.spawn(tick)
gevent.sleep(0.3)  # all of them wait; the ticks go on
assert len(ticks) > 10, len(ticks)
for n in range(500):
    layer.send("work", {"n": n})
    if n % 10 == 0:
        gevent.sleep(0.001)
while len(received) < 500:
    gevent.sleep(0.001)
assert received and sorted(received) == list(range(500))
for number in range(20):
    layer.send(f"own{number}", {"stop": True})
gevent.joinall(readers, timeout=20, raise_error=True)
assert all(reader.dead for reader in readers)
ticking.kill()
with gevent.Timeout(0.05, False):
    layer.receive(["nothing"], block=True)
layer.send("nothing", {"n": 1})
assert layer.receive(["nothing"], block=True) == ("nothing", {"n": 1})
"""


def test_greenlets_wait_side_by_side(base):  # noqa: F811
    pytest.importorskip("gevent")
    ended = subprocess.run(
        [sys.executable, "-c", GEVENT, str(base)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
