"""``manage.py runserver`` as a user has it: a process, a browser's requests and sockets, files that are saved."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from tests.support.workers.site import RELOADING, DevelopmentSite, make_site

pytest.importorskip("django")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.timeout(180)  # Python starts up to six times, on a busy machine

RESTART = 1012


HELD_PY = """
from asgi_redis import get_channel_layer
get_channel_layer().close = lambda: time.sleep(60)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_site(tmp_path)


@pytest.fixture(
    scope="module", params=[(), pytest.param(("--noreload",), marks=pytest.mark.soak)], ids=["reload", "noreload"]
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevelopmentSite]:
    """A server for all tests that neither change nor stop it."""
    with DevelopmentSite(make_site(tmp_path_factory.mktemp("site")).parent, *request.param) as running:
        yield running


def refuses(port: int) -> bool:
    """Whether nothing listens any more."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_views_and_static_files_are_served_and_logged(site: DevelopmentSite) -> None:
    assert site.get("/hello/?q=1").body == b"hello"
    assert site.get("/static/style.css").body == b"body {}"
    assert site.get("/nothing/").status == 404
    for line in ('hello/?q=1 HTTP/1.1" 200 5', 'static/style.css HTTP/1.1" 200 7', 'nothing/ HTTP/1.1" 404 '):
        site.says(f'"GET /{line}')


def test_websockets_are_served_and_logged(site: DevelopmentSite) -> None:
    with site.socket() as one, site.socket() as other:
        one.send("hi all")
        assert (one.receive(), other.receive()) == ("hi all", "hi all")
        one.close_with(1000)
        site.says("disconnected with 1000")
    site.says("Channel layer InMemoryChannelLayer()\n")
    for step in ("HANDSHAKING", "CONNECT", "DISCONNECT"):
        site.says(f"WebSocket {step} /chat/ [127.0.0.1:")


def test_the_traceback_of_a_consumer_is_shown_and_its_socket_goes_on(site: DevelopmentSite) -> None:
    with site.socket() as client:
        client.send("fail")
        site.says("ValueError: a fault of the consumer")
        site.says("Error in consumer site_of_test.routing.receive with a message on channel 'websocket.receive'\n")
        assert 'routing.py", line' in site.log
        client.send("on it goes")
        assert client.receive() == "on it goes"


@pytest.mark.parametrize(
    ("number", "flags"),
    [
        (signal.SIGINT, []),
        pytest.param(signal.SIGTERM, [], marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, ["--noreload"], marks=pytest.mark.soak),
        pytest.param(signal.SIGTERM, ["--noreload"], marks=pytest.mark.soak),
    ],
)
def test_ctrl_c_ends_it_in_order_and_leaves_nothing_behind(
    package: Path, number: int, flags: tuple[str, ...]
) -> None:
    """With an open socket, a consumer that runs, and a view that runs."""
    with DevelopmentSite(package.parent, *flags) as site, site.socket() as idle, site.socket() as busy:
        busy.send("hold")
        site.says("it holds")
        request = site.connect()
        request.start("GET", "/slow/")
        site.says("slow has begun")
        port = site.port
        assert len(site.children()) == (0 if flags else 1)
        site.signal_all(number)
        began = time.monotonic()
        assert (idle.close_code(), busy.close_code()) == (RESTART, RESTART)
        assert site.wait(40) == 0, site.log
        assert time.monotonic() - began < 20  # a second or two on a machine that has nothing else to do
        assert request.answer().status == 503
        request.close()
        assert site.gone
        assert refuses(port)
        assert site.log.count(f"disconnected with {RESTART}") == 2
        assert "Left behind after" in site.log
        assert "site_of_test.routing.receive" in site.log
        assert "Traceback" not in site.log


@pytest.mark.soak
def test_a_signal_to_the_parent_alone_reaches_the_child(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, site.socket() as client:
        site.signal(signal.SIGINT)
        assert client.close_code() == RESTART
        assert site.wait(40) == 0, site.log
        assert site.gone
        assert f"disconnected with {RESTART}" in site.log
        assert "Traceback" not in site.log


@pytest.mark.soak
def test_a_child_that_cannot_stop_ends_both_at_its_deadline(package: Path) -> None:
    """It is not taken for a child that is to be started again."""
    with (package / "routing.py").open("a") as routing:
        routing.write(HELD_PY)
    with DevelopmentSite(package.parent) as site:
        (child,) = site.children()
        os.kill(child, signal.SIGTERM)
        assert site.wait(40) == 1
        assert "Something holds the main thread" in site.log
        assert len(site.banners) == 1


@pytest.mark.soak
def test_the_child_ends_with_a_parent_that_was_killed(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, site.socket() as client:
        site.signal(signal.SIGKILL)
        assert client.close_code() == RESTART
        site.wait()
        eventually(lambda: site.gone, timeout=40)


def test_a_saved_file_restarts_once_and_each_client_connects_once_more(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, contextlib.ExitStack() as stack:
        before = [stack.enter_context(site.socket()) for _ in range(3)]
        urls = package / "urls.py"
        site.save(urls, urls.read_text().replace('"hello"', '"hello again"'))
        assert [client.close_code() for client in before] == [RESTART] * 3
        # None of them is refused while the server is away, and none gets to the old process.
        after = [stack.enter_context(site.socket()) for _ in before]
        site.serves(times=2)
        after[0].send("all here")
        assert [client.receive() for client in after] == ["all here"] * 3
        assert site.get("/hello/").body == b"hello again"
        assert site.log.count(f"disconnected with {RESTART}") == 3
        assert site.log.count(RELOADING) == 1
        assert len(site.children()) == 1
        site.stop()
        assert len(site.banners) == 2


@pytest.mark.soak
def test_code_that_cannot_be_loaded_is_waited_for(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, site.socket() as client:
        urls = package / "urls.py"
        right = urls.read_text()
        urls.write_text("this is no Python\n")
        assert client.close_code() == RESTART
        site.says("SyntaxError: invalid syntax")
        request = site.connect()
        request.start("GET", "/hello/")
        site.save(urls, right)
        assert request.answer().body == b"hello"  # to the very request that has waited
        request.close()
        site.stop()


@pytest.mark.soak
def test_an_app_that_cannot_be_loaded_at_first_is_waited_for(package: Path) -> None:
    """Then the parent process is that of Django, without a socket for its child."""
    with (package / "settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS += ["site_of_test"]\n')
    models = package / "models.py"
    models.write_text("import nothing\n")
    with DevelopmentSite(package.parent, wait=False) as site:
        site.says("No module named 'nothing'")
        site.save(models, "")
        site.serves()
        assert site.get("/hello/").body == b"hello"


def test_a_port_that_is_in_use_is_an_error_as_djangos(package: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with DevelopmentSite(package.parent, address=address, wait=False) as site:
            assert site.wait(40) == 1
            assert site.log == "Error: That port is already in use.\n"


def test_noworker_with_a_layer_in_memory_is_an_error(package: Path) -> None:
    with DevelopmentSite(package.parent, "--noworker", "--noreload", wait=False) as site:
        assert site.wait(40) == 1
        assert "CommandError: --noworker leaves the messages to other processes" in site.log


@pytest.mark.soak
def test_an_error_in_the_settings_is_told_and_waited_for(package: Path) -> None:
    settings = package / "settings.py"
    right = settings.read_text()
    settings.write_text(right.replace('"ROUTING"', '"BACKEND": "channels.layers.InMemoryChannelLayer", "ROUTING"'))
    with DevelopmentSite(package.parent, wait=False) as site:
        site.says("CommandError: channel layer 'default': the BACKEND 'channels.layers.InMemoryChannelLayer'")
        site.save(settings, right)
        site.serves()
        assert site.get("/hello/").body == b"hello"
        assert "Traceback" not in site.log
