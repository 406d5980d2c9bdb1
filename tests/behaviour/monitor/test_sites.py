"""The monitor's page in a project, behind the servers that projects have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.monitor.sites import PASSWORD, SERVERS, Person, run_site
from tests.support.waiting import eventually

pytestmark = [pytest.mark.native("servers"), pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    "server", [one if one == "threads" else pytest.param(one, marks=pytest.mark.soak) for one in SERVERS]
)
def test_every_process_of_a_server_shows_the_layer(
    server: str, redis_server: RedisServer, prefix: str, layer_for: Callable[..., RedisChannelLayer], tmp_path: Path
) -> None:
    """Also when the page has been looked at before they were forked."""
    layer = layer_for(redis_server)
    layer.send("mail", {"text": "hello"})
    looks = {"SITE_LOOKS": "1"} if "--preload" in SERVERS[server] else {}
    with run_site(SERVERS[server], redis_server.url, prefix, tmp_path, **looks) as url:
        layer.send("since", {})  # what was seen before the fork is not enough
        person = Person(url)
        assert b"<h1>Channels</h1>" in person.log_in(PASSWORD)
        answered = set()

        def shown() -> Any:
            snapshot = person.facts()["snapshot"]
            # Other tests may have counters there, which all prefixes share.
            assert [row["channel"] for row in snapshot["channels"] if row["waiting"]] == ["mail", "since"]
            answered.add(person.process)
            return len(answered) == (1 if server == "asgi" else 2)

        eventually(shown, timeout=40)
        assert person.facts()["layers"] == ["default", "other"]
        assert json.loads(person.ask("/channels/purge", channel="mail")) == {"deleted": 1}
        assert layer.receive(["mail"]) == (None, None)
