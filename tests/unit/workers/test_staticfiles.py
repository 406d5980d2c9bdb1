"""Static files from a worker, in development."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.contrib.staticfiles import finders
from django.test import override_settings

import tests.support.workers.project  # noqa: F401  settings
from asgi_redis import InMemoryChannelLayer
from workers import Message
from workers.staticfiles import StaticFilesConsumer


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[StaticFilesConsumer]:
    (tmp_path / "shop.css").write_text("body {}")
    with override_settings(
        ROOT_URLCONF="tests.support.workers.views",
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ALLOWED_HOSTS=["shop"],
        STATIC_URL="/static/",
        STATICFILES_DIRS=[str(tmp_path)],
        STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
        DEBUG=True,
    ):
        finders.get_finder.cache_clear()
        yield StaticFilesConsumer()
        finders.get_finder.cache_clear()


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/static/shop.css", 200, b"body {}"),
        ("/static/none.css", 404, b"could not be found"),
        ("/cookies/", 200, b"ok"),
    ],
)
def test_files_below_static_url_are_served_and_other_paths_go_to_views(
    path: str, status: int, content: bytes, consumer: StaticFilesConsumer
) -> None:
    facts: dict[str, Any] = {"method": "GET", "path": path, "headers": [[b"host", b"shop"]]}
    with InMemoryChannelLayer() as layer:
        consumer(Message({"reply_channel": "http.response.c!1", **facts}, "http.request", layer))
        sent = [reply for _, reply in layer.receive_batch(["http.response.c!"], 10)]
    assert sent[0]["status"] == status
    assert content in b"".join(reply["content"] for reply in sent)


def test_with_a_static_url_on_another_host_nothing_is_served(consumer: StaticFilesConsumer) -> None:
    with override_settings(STATIC_URL="https://static.shop/static/"):
        handler = StaticFilesConsumer().handler
    message = Message({"method": "GET", "path": "/static/shop.css", "headers": [[b"host", b"shop"]]}, "c", object())
    assert next(iter(handler(message)))["status"] == 404
