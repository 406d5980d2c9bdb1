"""The system check of ``CHANNEL_LAYERS``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.proxy import Proxy

pytest.importorskip("django")

import django
from django.apps import apps
from django.conf import settings
from django.test import override_settings

from asgi_redis import InMemoryChannelLayer, get_channel_layer
from asgi_redis.integrations import checks

OURS = "asgi_redis.RedisChannelLayer"
CLUSTER = "asgi_redis.RedisClusterChannelLayer"
LOCAL = "asgi_redis.RedisLocalChannelLayer"
MEMORY = {"BACKEND": "asgi_redis.InMemoryChannelLayer"}
AROUND_IT = '{"BACKEND": "asgi_redis.aio.AsyncChannelLayer", "CONFIG": {"layer": {"BACKEND": "%s", "CONFIG": {...}}}}'
ROOT = Path(checks.__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def _django() -> None:
    if not settings.configured:
        settings.configure()
    django.setup()


def check(path: Any, config: Any = None, apps: tuple[str, ...] = (), debug: bool = False) -> list[Any]:
    options = {"BACKEND": path} if config is None else {"BACKEND": path, "CONFIG": config}
    with override_settings(CHANNEL_LAYERS={"default": options}, INSTALLED_APPS=list(apps), DEBUG=debug):
        return checks.check_channel_layers()


def around(path: str, **config: Any) -> dict[str, Any]:
    return {"layer": {"BACKEND": path, "CONFIG": config}}


@pytest.mark.parametrize(
    ("path", "config"),
    [
        (OURS, None),
        ("channels_redis.core.RedisChannelLayer", {"hosts": [("127.0.0.1", 6379)], "capacity": 10}),
        ("asgi_redis.aio.RedisChannelLayer", {"hosts": ["redis://127.0.0.1:1"]}),
        ("asgi_redis.RedisSentinelChannelLayer", {"hosts": [("127.0.0.1", 1)]}),
        (
            "asgi_redis.aio.AsyncChannelLayer",
            around("asgi_redis.RedisSentinelChannelLayer", hosts=[("127.0.0.1", 1)]),
        ),
        ("channels.layers.BaseChannelLayer", None),  # somebody else's
        (CLUSTER, {"hosts": [("127.0.0.1", 1)], "shards": 6}),
        (LOCAL, {"hosts": ["redis://127.0.0.1:1"], "shards": 6, "local_layer": MEMORY}),
        ("asgi_redis.aio.AsyncChannelLayer", around(CLUSTER, hosts=["redis://127.0.0.1:1"], shards=6)),
        ("asgi_redis.aio.RedisClusterChannelLayer", {"hosts": [("127.0.0.1", 1)], "shards": 6}),
    ],
)
def test_settings_that_can_work_are_passed(path: str, config: Any) -> None:
    pytest.importorskip("channels")
    assert check(path, config, debug=True) == []


@pytest.mark.parametrize(
    ("path", "config", "complaint", "hint"),
    [
        (
            OURS,
            {"expirey": 1},
            "no setting 'expirey'; did you mean 'expiry'?",
            "Correct the name of 'expirey' in CHANNEL_LAYERS",
        ),
        ("channels_redis.core.RedisChannelLayer", {"capacty": 1}, "did you mean 'capacity'", "Correct the name of"),
        ("asgi_redis.aio.RedisChannelLayer", {"prefx": 1}, "did you mean 'prefix'", "Correct the name of"),
        (OURS, {"hosts": "redis://me:secret@h"}, "hosts must be a list", "put the value of 'hosts' into a list"),
        (OURS, {"expiry": 0}, "expiry must be a number of seconds above 0", "'expiry' in CHANNEL_LAYERS['default']"),
        (OURS, {"hosts": ["http://h"]}, "hosts[0]: unknown scheme 'http'", "Correct 'hosts' in"),
        (OURS, {"symmetric_encryption_keys": "abc"}, "symmetric_encryption_keys", "'symmetric_encryption_keys' in"),
        (
            OURS,
            ["redis://h"],
            "CONFIG of CHANNEL_LAYERS['default'] must be a dict",
            "Write CHANNEL_LAYERS['default'] and its CONFIG as dicts",
        ),
        (OURS, {"layer": {**MEMORY, "CONFIG": {"capacity": 1}}}, "no setting 'layer'", "the name of 'layer' in"),
        ("asgi_redis.RedisSentinelChannelLayer", {"hosts": ["redis://h"]}, "not URLs", "Correct CHANNEL_LAYERS"),
        ("asgi_redis.RedisSentinelChannelLayer", {"services": ["one"]}, "hosts is missing", "Add 'hosts' to"),
        (
            "asgi_redis.RedisSentinelChannelLayer",
            {"hosts": [("127.0.0.1", 1)], "services": "one"},
            "services must be a list of names",
            "Correct 'services' in",
        ),
        ("asgi_redis.RedisLocalChannelLayer", {"local_layer": {"BACKEND": "x.y"}}, "'x.y' of local_layer", "Correct"),
        ("asgi_redis.IPCChannelLayer", {"max_bytes": 1}, "max_bytes", "'max_bytes'"),
        (
            "asgi_redis.aio.AsyncChannelLayer",
            {"layer": "redis://me:secret@h"},
            "layer must be a",
            "Correct 'layer' in",
        ),
        ("asgi_redis.aio.AsyncChannelLayer", {"layer": {"BACKEND": "x.y"}}, "the BACKEND 'x.y' of layer", "Correct"),
        ("asgi_redis.NoLayer", {}, "cannot import the BACKEND 'asgi_redis.NoLayer'", "Correct the path, or install"),
        ("asgiref.inmemory.ChannelLayer", {}, "cannot import", "Write 'asgi_redis.InMemoryChannelLayer'."),
        ("asgi_ipc.IPCChannelLayer", {}, "cannot import the BACKEND", "Write 'asgi_redis.IPCChannelLayer'."),
        (None, {}, "has no BACKEND", "Correct"),
        (OURS, {"hosts": []}, "hosts is empty", "Correct 'hosts' in CHANNEL_LAYERS['default']['CONFIG']"),
        (OURS, {"hosts": "redis://h", "expiry": 0}, "expiry must be", "Correct 'expiry' in"),
        (CLUSTER, {"hosts": ["redis://:secret@h"]}, "shards is missing", "Add 'shards' to CHANNEL_LAYERS['default']"),
        (CLUSTER, {"shards": "6"}, "a whole number from 1 to 4096, not '6'", "Correct 'shards' in"),
        (CLUSTER, {"shards": 0}, "shards must be", "a whole number, the same in all processes"),
        (CLUSTER, {"shards": 6, "hosts": "redis://:secret@h"}, "hosts must be a list", "put the value of 'hosts'"),
        (CLUSTER, {"shards": 6, "hosts": ["redis://:secret@h/3"]}, "the database 0 only", "Correct 'hosts' in"),
        (
            CLUSTER,
            {"shards": 6, "hosts": ["redis://:secret@h", "redis://:other-secret@h"]},
            "other options than hosts[0]",
            "Correct 'hosts' in",
        ),
        (CLUSTER, {"shards": 6, "prefix": "{a}"}, "prefix must be a str without braces", "Correct 'prefix' in"),
        (CLUSTER, {"shards": 6, "db": 0}, "no setting 'db'", "or take it out"),
        (LOCAL, {"shards": 6, "db": 0}, "db has no meaning with shards", "Correct 'db' in"),
        ("asgi_redis.aio.RedisClusterChannelLayer", {}, "shards is missing", "Add 'shards' to CHANNEL_LAYERS"),
        (LOCAL, {"address_remap": str}, "needs the setting shards", "Correct 'address_remap' in"),
        (OURS, {"shards": 6}, "no setting 'shards'", "Take 'shards' out of CHANNEL_LAYERS"),
        (OURS, {"shards": 6}, "no setting 'shards'", f"use the BACKEND {CLUSTER!r}, for a Redis Cluster"),
        ("asgi_redis.aio.RedisChannelLayer", {"shards": 6}, "shards", "'asgi_redis.aio.RedisClusterChannelLayer'"),
        ("asgi_redis.aio.AsyncChannelLayer", around(CLUSTER, hosts=[]), "shards is missing", "Add 'shards' to"),
        (OURS, {"serializer_format": "jsn"}, "no serializer 'jsn'", "Correct 'serializer_format' in"),
        (OURS, {"symmetric_encryption_keys": [""]}, "each of", "Correct 'symmetric_encryption_keys' in"),
        (
            "asgi_redis.RedisLocalChannelLayer",
            {"expiry": 5, "local_layer": {"BACKEND": "asgi_redis.InMemoryChannelLayer", "CONFIG": {"expiry": 0}}},
            "expiry must be",
            "Correct 'expiry' in CHANNEL_LAYERS['default']['CONFIG']['local_layer']['CONFIG']",
        ),
    ],
)
def test_what_cannot_work_is_an_error_with_the_fix(path: str, config: Any, complaint: str, hint: str) -> None:
    (message,) = check(path, config)
    assert message.id.startswith("asgi_redis.E")
    assert complaint in message.msg
    assert hint in message.hint
    assert "secret" not in f"{message.msg}{message.hint}"


def test_what_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("asgi_redis.engine.stores.lmdb")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    (message,) = check("asgi_redis.IPCChannelLayer")
    assert 'pip install "asgi_redis[ipc]"' in message.msg
    assert "Install what is missing" in message.hint


@pytest.mark.parametrize(
    ("path", "config", "instead"),
    [
        ("channels.layers.InMemoryChannelLayer", None, "asgi_redis.aio.RedisChannelLayer"),
        ("asgi_redis.InMemoryChannelLayer", None, "asgi_redis.IPCChannelLayer on one machine"),
        ("asgi_redis.aio.AsyncChannelLayer", {"layer": InMemoryChannelLayer()}, "asgi_redis.aio.RedisChannelLayer"),
        (
            "asgi_redis.aio.AsyncChannelLayer",
            {"layer": {"BACKEND": "asgi_redis.InMemoryChannelLayer"}},
            "asgi_redis.aio.RedisChannelLayer",
        ),
        (
            "asgi_redis.RedisLocalChannelLayer",
            {"local_layer": {"BACKEND": "asgi_redis.InMemoryChannelLayer"}},
            "asgi_redis.RedisChannelLayer",
        ),
    ],
)
def test_a_layer_within_one_process_is_warned_of_in_production(path: str, config: Any, instead: str) -> None:
    (message,) = check(path, config)
    assert message.id == "asgi_redis.W001"
    assert instead in message.hint
    assert check(path, config, debug=True) == []


def test_a_synchronous_layer_for_the_consumers_of_channels_4_is_warned_of() -> None:
    pytest.importorskip("channels", minversion="2")
    (message,) = check(OURS, apps=("channels",))
    assert message.id == "asgi_redis.W002"
    assert "asgi_redis.aio.RedisChannelLayer" in message.hint
    assert check("asgi_redis.aio.RedisChannelLayer", apps=("channels",)) == []
    assert check("channels_redis.core.RedisChannelLayer", apps=("channels",)) == []


@pytest.mark.parametrize(
    ("path", "settings_for_it"),
    [
        ("asgi_redis.RedisPubSubChannelLayer", "asgi_redis.aio.RedisPubSubChannelLayer"),
        (CLUSTER, "asgi_redis.aio.RedisClusterChannelLayer"),
        (
            "asgi_redis.RedisLocalChannelLayer",
            AROUND_IT % "asgi_redis.RedisLocalChannelLayer",
        ),
    ],
)
def test_each_synchronous_layer_has_settings_of_its_own_for_channels_4(path: str, settings_for_it: str) -> None:
    pytest.importorskip("channels", minversion="2")
    config = {LOCAL: {"local_layer": MEMORY}, CLUSTER: {"shards": 3}}.get(path, {})
    (message,) = check(path, config, apps=("channels",), debug=True)
    assert message.hint.startswith(f"Write {settings_for_it}: ")


def test_the_settings_of_the_hint_pass() -> None:
    pytest.importorskip("channels", minversion="2")
    local = {"BACKEND": "asgi_redis.InMemoryChannelLayer"}
    config = around("asgi_redis.RedisLocalChannelLayer", local_layer=local)
    assert check("asgi_redis.aio.AsyncChannelLayer", config, apps=("channels",), debug=True) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"BACKEND": OURS, "CONFG": {"hosts": ["redis://h"]}}, "unknown key 'CONFG'; did you mean 'CONFIG'?"),
        ({"BACKEND": OURS, "ROUTNG": "x.y"}, "unknown key 'ROUTNG'; did you mean 'ROUTING'?"),
        ({"BACKEND": OURS, "hosts": ["redis://h"]}, "unknown key 'hosts'; settings of the layer belong into"),
        ("asgi_redis.RedisChannelLayer", "must be a dict such as"),
    ],
)
def test_what_stands_beside_config_is_an_error(options: Any, complaint: str) -> None:
    with override_settings(CHANNEL_LAYERS={"default": options}):
        (message,) = checks.check_channel_layers()
    assert complaint in message.msg
    with override_settings(CHANNEL_LAYERS={"default": options}), pytest.raises(ValueError, match=complaint[:16]):
        get_channel_layer()


def test_hosts_that_are_none_are_an_error() -> None:
    """An environment variable that is not set would else mean the Redis of this machine."""
    (message,) = check(OURS, {"hosts": None})
    assert message.id == "asgi_redis.E005"


def test_layers_without_a_default_are_an_error() -> None:
    with override_settings(CHANNEL_LAYERS={"defualt": {"BACKEND": OURS}}):
        (message,) = checks.check_channel_layers()
    assert message.id == "asgi_redis.E004"
    with override_settings(CHANNEL_LAYERS={}):
        assert checks.check_channel_layers() == []


def test_settings_that_are_no_dict_are_an_error() -> None:
    with override_settings(CHANNEL_LAYERS=[]):
        (message,) = checks.check_channel_layers()
    assert message.id == "asgi_redis.E001"


@pytest.mark.parametrize(
    ("path", "config"),
    [
        (OURS, {}),
        ("asgi_redis.RedisSentinelChannelLayer", {}),
        ("asgi_redis.aio.RedisChannelLayer", {}),
        (CLUSTER, {"shards": 6}),
    ],
)
def test_it_connects_to_nothing(path: str, config: Any, proxy: Proxy) -> None:
    assert check(path, {"hosts": [(proxy.host, proxy.port)], **config}) == []
    assert proxy.connections == 0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "manage.py").write_text(
        "import sys\nfrom django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )
    return tmp_path


@pytest.mark.parametrize("app", ["asgi_redis", "workers"])
def test_manage_py_check_tells(app: str, project: Path) -> None:
    options = {"default": {"BACKEND": OURS, "CONFIG": {"expirey": 1}}}
    (project / "mysite.py").write_text(f"INSTALLED_APPS = [{app!r}]\nCHANNEL_LAYERS = {options}\n")
    said = manage_check(project)
    assert "(asgi_redis.E003) CHANNEL_LAYERS['default'] cannot work" in said
    assert "1 issue" in said


@pytest.mark.parametrize(("apps", "warned"), [(["channels", "workers"], True), (["workers", "channels"], False)])
def test_a_runworker_that_is_not_ours_is_warned_of(apps: list[str], warned: bool, project: Path) -> None:
    pytest.importorskip("channels", minversion="2")
    (project / "mysite.py").write_text(f"INSTALLED_APPS = {apps}\n")
    assert ("workers.W001" in manage_check(project)) is warned


@pytest.mark.parametrize(("apps", "warned"), [(["daphne", "workers"], True), (["workers", "daphne"], False)])
def test_a_runserver_that_serves_no_routing_is_warned_of(apps: list[str], warned: bool, project: Path) -> None:
    pytest.importorskip("daphne", minversion="4")
    layers = {"default": {"BACKEND": OURS, "ROUTING": []}}
    (project / "mysite.py").write_text(
        f'INSTALLED_APPS = {[*apps, "django.contrib.staticfiles"]}\nSTATIC_URL = "/static/"\n'
        f"CHANNEL_LAYERS = {layers}\n"
    )
    assert ("workers.W003" in manage_check(project)) is warned


@pytest.mark.parametrize("debug", [True, False])
def test_a_routing_alone_is_enough_for_the_development_server(debug: bool) -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"ROUTING": []}}, DEBUG=debug):
        messages = checks.check_channel_layers()
    assert [message.id for message in messages] == ([] if debug else ["asgi_redis.E003"])


def manage_check(project: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite"}
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


def test_another_app_that_is_called_workers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(INSTALLED_APPS=["workers"]):
        assert checks.check_workers() == []
        monkeypatch.setattr(apps.get_app_config("workers"), "path", str(tmp_path))
        (message,) = checks.check_workers()
    assert str(tmp_path) in message.msg
    assert "Rename" in message.hint
