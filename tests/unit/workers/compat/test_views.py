"""Which workers answer the requests of a project by its views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.test import override_settings

import tests.support.workers.project  # noqa: F401  settings
from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, WorkerProcess
from workers.compat.views import serves_requests, with_views
from workers.exceptions import ConfigurationError
from workers.handler import ViewConsumer
from workers.routing import Router
from workers.staticfiles import StaticFilesConsumer

VIEWS = {"ROOT_URLCONF": "tests.support.workers.views"}
JOBS = {"jobs": print}


@pytest.mark.parametrize(
    ("settings", "routing", "only_channels", "expected"),
    [
        pytest.param(VIEWS, [], None, True, id="empty routing"),
        pytest.param(VIEWS, {"websocket.receive": print}, None, True, id="websockets"),
        pytest.param(VIEWS, {"http.request": print}, None, True, id="requests"),
        pytest.param(VIEWS, JOBS, None, False, id="background jobs"),
        pytest.param(VIEWS, JOBS, ["http.request"], True, id="named on the command line"),
        pytest.param(VIEWS, JOBS, ["jobs"], False, id="others named on the command line"),
        pytest.param({**VIEWS, "CHANNEL_INTERFACE": {}}, JOBS, None, True, id="options of the interface"),
        pytest.param(
            {**VIEWS, "ASGI_APPLICATION": "asgi_redis.interface.application"}, JOBS, None, True, id="ASGI_APPLICATION"
        ),
        pytest.param({**VIEWS, "ASGI_APPLICATION": "shop.asgi.application"}, JOBS, None, False, id="another one"),
        pytest.param({}, {"http.request": print}, None, False, id="no views"),
    ],
)
def test_requests_go_to_the_views_where_there_are_requests_and_views(
    settings: Any, routing: Any, only_channels: Any, expected: bool
) -> None:
    with override_settings(**settings):
        assert serves_requests(Router(routing), only_channels) == expected


@pytest.mark.parametrize(("only", "exclude"), [(["websocket.*"], None), (None, ["http.*"])])
def test_a_worker_of_other_channels_does_not_load_them(only: Any, exclude: Any) -> None:
    with override_settings(**VIEWS):
        assert not serves_requests(Router({"websocket.receive": print}), only, exclude)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("app", [True, False])
def test_static_files_are_served_in_debug_with_their_app(debug: bool, app: bool) -> None:
    apps = ["django.contrib.staticfiles"] if app else []
    with override_settings(DEBUG=debug, STATIC_URL="/static/", INSTALLED_APPS=apps):
        router = with_views(Router(JOBS))
    assert router.channels == {"jobs", "http.request"}
    from workers import Message

    found = router.match(Message({}, "http.request", object()))  # type: ignore[arg-type]  # it is not used
    assert found is not None
    assert type(found[0]) is (StaticFilesConsumer if debug and app else ViewConsumer)


def test_middleware_that_cannot_be_loaded_is_an_error_of_the_configuration() -> None:
    with override_settings(MIDDLEWARE=["shop.missing"]), pytest.raises(ConfigurationError, match="shop"):
        with_views(Router(JOBS))


SHOP = """
SECRET_KEY = "x"
INSTALLED_APPS = ["workers", "django.contrib.contenttypes", "django.contrib.auth"]
ROOT_URLCONF = "tests.support.workers.views"
ALLOWED_HOSTS = ["shop"]
CHANNEL_LAYERS = {{
    "default": {{
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {{"hosts": ["{url}"], "prefix": "{prefix}"}},
        "ROUTING": "shop.routing",
    }},
}}
routing = []
"""


@pytest.mark.parametrize("pool", ["thread", "gevent"])
def test_runworker_answers_requests_by_views(
    pool: str, redis_server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    (tmp_path / "shop.py").write_text(SHOP.format(url=redis_server.url, prefix=prefix))
    command = [*MODULE, "--settings", "shop", "--pool", pool]
    facts = {"method": "GET", "headers": [[b"host", b"shop"]], "reply_channel": "http.response.x!1"}
    with (
        RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as real,
        WorkerProcess(command, tmp_path, cwd=tmp_path) as worker,
    ):
        worker.listens()
        assert "Listening on 2 channels (asgi.delay, http.request)" in worker.log

        def content_of(path: str) -> bytes:
            real.send("http.request", {**facts, "path": path})
            content = b""
            while True:
                reply: Any = eventually(lambda: real.receive(["http.response.x!"], block=True)[1])
                content += reply["content"]
                if not reply["more_content"]:
                    return content

        assert content_of("/cookies/") == b"ok"
        assert content_of("/stream-asynchronously/") == b"part 0;part 1;part 2;"
        assert b"Not Found" in content_of("/nowhere/")
        worker.stop()
