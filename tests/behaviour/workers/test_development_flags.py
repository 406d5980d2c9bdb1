"""``manage.py runserver`` with each of its flags, and for other projects than most."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.interface.websockets import WebSocket
from tests.support.workers.processes import ROOT, WorkerProcess
from tests.support.workers.site import DevelopmentSite, make_site

pytest.importorskip("django")
pytest.importorskip("uvicorn")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(180)]  # Python starts up to six times, on a busy machine


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_site(tmp_path)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize(("address", "flags"), [("0", ("--ipv6",)), ("[::1]:0", ("--noreload",))])
def test_ipv6(package: Path, address: str, flags: tuple[str, ...]) -> None:
    with DevelopmentSite(package.parent, *flags, address=address) as site:
        assert site.banners[0].startswith("http://[::1]:")
        with socket.create_connection(("::1", site.port), timeout=20) as client:
            client.sendall(b"GET /hello/ HTTP/1.0\r\n\r\n")
            assert b"\r\nhello" in client.makefile("rb").read()
        site.stop()


def test_the_banner_is_djangos_with_the_layer(package: Path) -> None:
    with DevelopmentSite(package.parent, "--noreload", address="0:0") as site:
        site.says("Channel layer InMemoryChannelLayer()\n")
        assert site.banners[0].startswith("http://0.0.0.0:")
        assert site.get("/hello/").body == b"hello"
        site.stop()


def test_noasgi_is_djangos_own_server(package: Path) -> None:
    with DevelopmentSite(package.parent, "--noasgi", wait=False) as site:
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
        site.says("No consumer for the websocket '/chat/'")
        site.says("WebSocket REJECT /chat/ [127.0.0.1:")


def test_noworker_leaves_the_consumers_to_runworker(package: Path) -> None:
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


def test_it_starts_and_stops_in_order_while_redis_is_away(package: Path) -> None:
    with (package / "settings.py").open("a") as settings:
        settings.write(
            'CHANNEL_LAYERS["default"].update(BACKEND="asgi_redis.RedisChannelLayer", '
            'CONFIG={"hosts": ["redis://127.0.0.1:1"]})\n'
        )
    with DevelopmentSite(package.parent) as site:
        site.says("does not serve messages")
        site.signal_all(signal.SIGINT)
        assert site.wait(40) == 0
        assert "Traceback" not in site.log


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
