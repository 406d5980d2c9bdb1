"""Django's views behind the interface: large bodies both ways, slow clients, and clients that leave."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("django")

from django.test import override_settings

import tests.support.workers.project  # noqa: F401  settings
from asgi_redis import InMemoryChannelLayer
from asgi_redis.interface import Interface
from tests.support.interface.http import head
from tests.support.interface.serving import UvicornThread
from tests.support.waiting import eventually
from tests.support.workers import views
from workers import Pool, Worker, handler, route
from workers.handler import ViewConsumer
from workers.runtime import response_sender

pytestmark = pytest.mark.native("event loops in native threads")

MEBIBYTE = 1 << 20
BOUNDARY = "not-in-the-content"
FORM = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%b\r\n--%b--\r\n'
OF_FORM = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]


@pytest.fixture
def worker(memory_layer: InMemoryChannelLayer) -> Iterator[Worker]:
    views.events.clear()
    with override_settings(ROOT_URLCONF="tests.support.workers.views", ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[]):
        worker = Worker(memory_layer, [route("http.request", ViewConsumer())], pool=Pool(2))
        worker.start()
        yield worker
        worker.quiet()
        assert worker.stop(time.monotonic() + 20)


@pytest.fixture
def site(worker: Worker, memory_layer: InMemoryChannelLayer) -> Iterator[UvicornThread]:
    with UvicornThread(Interface(memory_layer)) as site:
        yield site


def test_a_large_upload_is_a_file_of_the_view(site: UvicornThread) -> None:
    content = random.Random(1).randbytes(8 * MEBIBYTE)
    answer = site.http().request("POST", "/upload/", FORM % (BOUNDARY.encode(), content, BOUNDARY.encode()), OF_FORM)
    assert json.loads(answer.body) == {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "kind": "TemporaryUploadedFile",
    }


def test_a_view_waits_for_a_slow_client(site: UvicornThread) -> None:
    with site.http(receive_buffer=4096) as client:
        client.start("GET", f"/stream/?parts=40&size={MEBIBYTE}")
        assert client.answer_head().status == 200
        parts = client.chunks()
        first = next(parts)
        eventually(lambda: len(views.events) >= 1)
        assert len(views.events) < 20  # what the buffers of the kernel and of the server hold
        assert len(first) + sum(map(len, parts)) == 40 * MEBIBYTE
    assert views.events[-1] == "closed"


def test_a_view_ends_when_its_client_leaves(site: UvicornThread, worker: Worker) -> None:
    with site.http() as client:
        client.start("GET", f"/stream/?parts=100000&size={MEBIBYTE}")
        assert client.answer_head().status == 200
    eventually(lambda: views.events[-1:] == ["closed"])
    eventually(lambda: not worker.busy)
    assert worker.dispatcher.failed == 0


def test_a_view_that_has_nothing_to_send_ends_when_its_client_leaves(
    site: UvicornThread, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(response_sender, "LOOK_SECONDS", 0.0)
    with site.http() as client:
        client.start("GET", "/wait/")
        assert client.answer_head().status == 200
    eventually(lambda: views.events == ["closed"])
    eventually(lambda: not worker.busy)
    assert worker.dispatcher.failed == 0


def test_a_view_ends_when_its_client_leaves_in_the_middle_of_an_upload(site: UvicornThread, worker: Worker) -> None:
    with site.http() as client:
        client.write(head("POST", "/echo/", [("Content-Length", str(2 * MEBIBYTE))]) + bytes(MEBIBYTE))
        eventually(lambda: worker.busy)
    eventually(lambda: not worker.busy)
    assert worker.dispatcher.failed == 0


def test_an_error_in_the_middle_of_a_response_is_seen_by_its_client(site: UvicornThread) -> None:
    with site.http() as client:
        client.start("GET", "/stream/?parts=1&fail=1")
        assert client.answer_head().status == 200
        with pytest.raises(EOFError):
            list(client.chunks())


def test_one_connection_serves_many_requests(site: UvicornThread) -> None:
    with site.http() as client:
        assert [client.request("GET", "/cookies/").body for _ in range(3)] == [b"ok"] * 3
        without_body = client.request("HEAD", "/stream/?parts=3")
        assert (without_body.status, without_body.body) == (200, b"")
        assert client.request("GET", "/stream/?parts=2").body_chunks == [b"part 0;", b"part 1;"]
