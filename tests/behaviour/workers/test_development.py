"""``manage.py runserver`` as a user has it: a process, a browser's requests and sockets, files that are saved."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.support.interface.websockets import WebSocket
from tests.support.waiting import eventually
from tests.support.workers.processes import ROOT, WorkerProcess
from tests.support.workers.site import DevelopmentSite, make_site

pytest.importorskip("django")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.timeout(180)  # Python starts up to six times, on a busy machine

RESTART = 1012


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_site(tmp_path)


def refuses(port: int) -> bool:
    """Whether nothing listens any more."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("flags", [(), ("--noreload",)], ids=["reload", "noreload"])
def test_views_files_and_sockets_are_served_and_logged(package: Path, flags: tuple[str, ...]) -> None:
    with DevelopmentSite(package.parent, *flags) as site:
        assert site.get("/hello/?q=1").body == b"hello"
        assert site.get("/static/style.css").body == b"body {}"
        assert site.get("/nothing/").status == 404
        with site.socket() as one, site.socket() as other:
            one.send("hi all")
            assert (one.receive(), other.receive()) == ("hi all", "hi all")
            one.close_with(1000)
            site.says("disconnected with 1000")
            other.send("fail")
            site.says("ValueError: a fault of the consumer")
            other.send("on it goes")
            assert other.receive() == "on it goes"
        site.says("Channel layer InMemoryChannelLayer()\n")
        for line in ('"GET /hello/?q=1 HTTP/1.1" 200 5', '"GET /static/style.css HTTP/1.1" 200 7', "404"):
            site.says(line)
        for step in ("HANDSHAKING", "CONNECT", "DISCONNECT"):
            site.says(f"WebSocket {step} /chat/ [127.0.0.1:")
        site.says("Error in consumer site_of_test.routing.receive with a message on channel 'websocket.receive'\n")
        assert 'routing.py", line' in site.log
        site.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("flags", [(), ("--noreload",)], ids=["reload", "noreload"])
def test_a_signal_ends_it_in_order_and_leaves_nothing_behind(
    package: Path, flags: tuple[str, ...], number: int
) -> None:
    """With an open socket, a consumer that runs, and a view that runs."""
    with DevelopmentSite(package.parent, *flags) as site, site.socket() as idle, site.socket() as busy:
        busy.send("hold")
        site.says("it holds")
        request = site.connect()
        request.start("GET", "/slow/")
        site.says("slow has begun")
        children, port = site.children(), site.port
        site.signal(number)
        began = time.monotonic()
        assert (idle.close_code(), busy.close_code()) == (RESTART, RESTART)
        assert site.wait(40) == 0
        assert time.monotonic() - began < 20  # a second or two on a machine that has nothing else to do
        assert request.answer().status == 503
        request.close()
        assert site.log.count(f"disconnected with {RESTART}") == 2
        assert "Left behind after" in site.log
        assert "site_of_test.routing.receive" in site.log
        assert refuses(port)
        assert not any(map(alive, children))
        assert len(children) == (0 if flags else 1)
        assert "Traceback" not in site.log


def test_ctrl_c_in_a_terminal_reaches_both_processes(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, site.socket() as client:
        for pid in (*site.children(), site.pid):
            os.kill(pid, signal.SIGINT)
        assert client.close_code() == RESTART
        assert site.wait(40) == 0
        assert f"disconnected with {RESTART}" in site.log
        assert "Traceback" not in site.log


def test_the_child_ends_with_a_parent_that_was_killed(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, site.socket() as client:
        (child,) = site.children()
        site.signal(signal.SIGKILL)
        assert client.close_code() == RESTART
        eventually(lambda: not alive(child), timeout=40)


def test_a_saved_file_restarts_once_and_each_client_connects_once_more(package: Path) -> None:
    with DevelopmentSite(package.parent) as site, contextlib.ExitStack() as stack:
        before = [stack.enter_context(site.socket()) for _ in range(3)]
        (old,) = site.children()
        urls = package / "urls.py"
        urls.write_text(urls.read_text().replace('"hello"', '"hello again"'))
        assert [client.close_code() for client in before] == [RESTART] * 3
        # None of them is refused while the server is away, and none gets to the old process.
        after = [stack.enter_context(site.socket()) for _ in before]
        site.serves(times=2)
        after[0].send("all here")
        assert [client.receive() for client in after] == ["all here"] * 3
        assert site.get("/hello/").body == b"hello again"
        assert site.log.count(f"disconnected with {RESTART}") == 3
        assert site.log.count("changed, reloading") == 1
        assert not alive(old)
        site.stop()
        assert len(site.banners) == 2


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


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize(("address", "flags"), [("0", ("--ipv6",)), ("[::1]:0", ("--noreload",))])
def test_ipv6(package: Path, address: str, flags: tuple[str, ...]) -> None:
    with DevelopmentSite(package.parent, *flags, address=address) as site:
        assert site.banners[0].startswith("http://[::1]:")
        with socket.create_connection(("::1", site.port), timeout=20) as client:
            client.sendall(b"GET /hello/ HTTP/1.0\r\n\r\n")
            assert b"\r\nhello" in client.makefile("rb").read()
        site.stop()


def test_noasgi_is_djangos_own_server(package: Path) -> None:
    with DevelopmentSite(package.parent, "--noasgi", address="127.0.0.1:8000", wait=False) as site:
        site.says("Quit the server")
        assert "Channel layer" not in site.log
    assert "Traceback" not in site.log


def test_nostatic_and_insecure(package: Path) -> None:
    with DevelopmentSite(package.parent, "--nostatic", "--noreload") as site:
        assert site.get("/static/style.css").status == 404
    with (package / "settings.py").open("a") as settings:
        settings.write("DEBUG = False\n")
    with DevelopmentSite(package.parent, "--noreload") as site:
        assert site.get("/static/style.css").status == 404
    with DevelopmentSite(package.parent, "--noreload", "--insecure") as site:
        assert site.get("/static/style.css").status == 200


def test_a_project_without_a_routing_has_its_views_and_refuses_websockets(package: Path) -> None:
    with (package / "settings.py").open("a") as settings:
        settings.write("del CHANNEL_LAYERS\n")
    with DevelopmentSite(package.parent, "--noreload") as site:
        assert site.get("/hello/").body == b"hello"
        with WebSocket(site.port, "/chat/") as client:
            assert client.refused().status == 403
        site.says("No consumer for the websocket /chat/")
        site.says("WebSocket REJECT /chat/ [127.0.0.1:")


def test_noworker_leaves_the_consumers_to_runworker(package: Path) -> None:
    with DevelopmentSite(package.parent, "--noworker", "--noreload", wait=False) as site:
        assert site.wait(40) == 1
        assert "CommandError: --noworker leaves the messages to other processes" in site.log
    with (package / "settings.py").open("a") as settings:
        settings.write(
            'CHANNEL_LAYERS["default"].update(BACKEND="asgi_redis.IPCChannelLayer", '
            f'CONFIG={{"prefix": "site", "path": {str(package.parent)!r}}})\n'
        )
    command = [sys.executable, "manage.py", "runworker"]
    with DevelopmentSite(package.parent, "--noworker", "--noreload") as site:
        site.says("Channel layer IPCChannelLayer(")
        with WorkerProcess(command, package.parent, cwd=package.parent, env={"PYTHONPATH": str(ROOT)}) as worker:
            worker.listens()
            assert site.get("/hello/").body == b"hello"
            with site.socket() as client:
                client.send("by another process")
                assert client.receive() == "by another process"
            worker.stop()


def test_http_timeout_and_handshake_timeout(package: Path) -> None:
    with DevelopmentSite(package.parent, "--noreload", "--http_timeout", "0.3") as site:
        assert site.get("/slow/").status == 504
        site.says('"GET /slow/ HTTP/1.1" 504')


ASGI_PY = """
from django.core.asgi import get_asgi_application
from asgi_redis.interface import application as interface

of_django = get_asgi_application()


async def composed(scope, receive, send):
    if scope["type"] == "http":
        scope["headers"] = [*scope["headers"], (b"x-composed", b"yes")]
        await of_django(scope, receive, send)
    else:
        await interface(scope, receive, send)
"""


@pytest.mark.parametrize("application", ["of_django", "composed"])
def test_the_asgi_application_of_the_project_is_served_unless_it_is_djangos(package: Path, application: str) -> None:
    (package / "asgi.py").write_text(ASGI_PY)
    with (package / "settings.py").open("a") as settings:
        settings.write(f'ASGI_APPLICATION = "site_of_test.asgi.{application}"\n')
    urls = package / "urls.py"
    urls.write_text(urls.read_text().replace('"hello")', 'request.headers.get("X-Composed", "no"))'))
    with DevelopmentSite(package.parent, "--noreload") as site:
        assert site.get("/hello/").body == (b"yes" if application == "composed" else b"no")
        assert site.get("/static/style.css").status == 200
        with site.socket() as client:
            client.send("hi")
            assert client.receive() == "hi"
        site.stop()


def test_without_uvicorn_a_routing_is_an_error_and_views_are_served_by_django(package: Path) -> None:
    manage = package.parent / "manage.py"
    manage.write_text(manage.read_text().replace("import os, sys", 'import os, sys\nsys.modules["uvicorn"] = None'))
    with DevelopmentSite(package.parent, "--noreload", wait=False) as site:
        assert site.wait(60) == 1
        assert site.log.startswith("CommandError: uvicorn is not installed, which serves websockets: pip install")
    with (package / "settings.py").open("a") as settings:
        settings.write("del CHANNEL_LAYERS\n")
    with DevelopmentSite(package.parent, "--noreload") as site:
        assert site.log.startswith("uvicorn is not installed")
        assert site.get("/hello/").body == b"hello"


def test_nothreading_is_one_thread_of_the_worker(package: Path) -> None:
    urls = package / "urls.py"
    urls.write_text(
        urls.read_text().replace(
            'HttpResponse("hello")',
            'HttpResponse(sum(t.name.startswith("slot-") for t in __import__("threading").enumerate()))',
        )
    )
    for flags, threads in (((), b"4"), (("--nothreading",), b"1")):
        with DevelopmentSite(package.parent, "--noreload", *flags) as site:
            assert site.get("/hello/").body == threads
