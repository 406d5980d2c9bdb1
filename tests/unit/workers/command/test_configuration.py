"""What ``python -m workers`` is told: flags that are refused, the project, its logging, passwords."""

from __future__ import annotations

import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess
from workers.command import cli
from workers.command.cli import CommandOptions

wrong_names = {"work": print, "x!y": print}


def test_passwords_are_not_logged(acl_server: RedisServer, tmp_path: Path, prefix: str) -> None:
    url = acl_server.url.replace("://", "://alice:hunter2@")
    command = [*MODULE, "-v2", "--layer-url", url, "--routing", "tests.support.workers.consumers.routing"]
    with WorkerProcess(command, tmp_path) as worker:
        eventually(lambda: "does not serve messages" in worker.log, timeout=20)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert "hunter2" not in worker.log


@pytest.mark.parametrize("way", ["variable", "file", pytest.param("object", marks=pytest.mark.soak), "callable"])
def test_the_layer_may_be_told_without_a_url_on_the_command_line(
    way: str, redis_server: RedisServer, notes: Notes, prefix: str, tmp_path: Path
) -> None:
    project = """
        import os
        from asgi_redis import RedisChannelLayer
        from asgi_redis.aio import AsyncChannelLayer

        def make():
            return RedisChannelLayer(hosts=[os.environ["URL"]], prefix=os.environ["PREFIX"], capacity=5)

        layer = AsyncChannelLayer(make())
    """
    (tmp_path / "shop.py").write_text(textwrap.dedent(project))
    urls = tmp_path / "urls"
    urls.write_text(f"{redis_server.url}\n")
    flags, variables = {
        "variable": (["--prefix", prefix], {"ASGI_REDIS_URL": redis_server.url}),
        "file": (["--prefix", prefix, "--layer-url-file", str(urls)], {"ASGI_REDIS_URL": "redis://127.0.0.1:1"}),
        "object": (["--layer", "shop:layer"], {}),
        "callable": (["--layer", "shop:make"], {"DJANGO_SETTINGS_MODULE": "no.such.settings"}),
    }[way]
    env = {**notes.env, "URL": redis_server.url, "PREFIX": prefix, **variables}
    command = [*MODULE, *flags, "--routing", "tests.support.workers.consumers.routing"]
    layer = RedisChannelLayer(hosts=[redis_server.url], prefix=prefix)
    with layer, WorkerProcess(command, tmp_path, cwd=tmp_path, env=env) as worker:
        layer.send("work", {"n": 1})
        eventually(lambda: notes["done"] == ["1"], timeout=20)
        worker.stop()


def test_several_urls_are_shards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASGI_REDIS_URL", " redis://a  redis://b\nredis://c ")
    assert CommandOptions().urls() == ["redis://a", "redis://b", "redis://c"]
    assert CommandOptions(layer_url=["redis://d"]).urls() == ["redis://d"]


@pytest.mark.parametrize("way", ["flags", "variable", "file"])
def test_with_shards_several_urls_are_start_nodes(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    urls = ["redis://a:7000", "redis://b:7001"]
    (tmp_path / "urls").write_text("\n".join(urls))
    monkeypatch.setenv("ASGI_REDIS_URL", " ".join(urls))
    given = {"flags": {"layer_url": urls}, "variable": {}, "file": {"layer_url_file": str(tmp_path / "urls")}}[way]
    options = CommandOptions(shards=6, prefix="p", routing="a.b", **given)  # type: ignore[arg-type]
    assert options.misuse() is None
    layer = cli.plain_layer(options)
    assert isinstance(layer, RedisClusterChannelLayer)
    assert (layer.hosts, layer.ring_size, layer.prefix) == (urls, 6, "p")


def test_the_settings_of_django_come_before_the_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASGI_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    with pytest.raises(SystemExit):
        cli.main(["--layer", "other", "--routing", "a.b"])
    assert "and there are none" in capsys.readouterr().err
    assert not CommandOptions(settings="s").plain
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "s")
    assert not CommandOptions().plain


def test_the_project_is_found_in_the_current_directory(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from workers import route\nrouting = [route('orders', print)]\n")
    script = "import sys; sys.path.pop(0); from workers.command.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "--layer-url", redis_server.url, "--routing", "shop.routing"]
    with WorkerProcess(command, tmp_path, cwd=tmp_path) as worker:
        worker.listens()
        assert "(asgi.delay, orders)" in worker.log
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0


def test_a_project_that_logs_for_itself_is_left_alone(redis_server: RedisServer, tmp_path: Path) -> None:
    project = """
        import logging
        from workers import route
        logging.basicConfig(format="mine: %(message)s", level=logging.INFO)
        routing = [route("orders", print)]
    """
    (tmp_path / "shop.py").write_text(textwrap.dedent(project))
    command = [*MODULE, "--layer-url", redis_server.url, "--routing", "shop.routing"]
    with WorkerProcess(command, tmp_path, cwd=tmp_path) as worker:
        worker.listens()
        assert "mine: Listening" in worker.log
        assert worker.log.count("Listening") == 1


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "Django's --settings are needed, or else"),
        (["--layer-url", "redis://h"], "a --routing is needed"),
        (["--layer-url", "redis://h", "--routing", "a.b", "--settings", "s"], "give one of them"),
        (["--layer-url", "redis://h", "--routing", "a.b", "--layer", "other"], "give one of them"),
        (["--layer-url", "redis://h", "--routing", "a.b", "--layer-url-file", "f"], "give one of them"),
        (["--layer", "a:b", "--routing", "a.b", "--settings", "s"], "give one of them"),
        (["--layer", "a:b"], "a --routing is needed"),
        (["--layer", "a:b", "--routing", "a.b", "--prefix", "p"], "--prefix goes with --layer-url"),
        (["--layer", "a:b", "--routing", "a.b", "c"], "leave them to the --routing"),
        (["--settings", "s", "--prefix", "p"], "--prefix goes with --layer-url"),
        (["--layer", "a:b", "--routing", "a.b", "--shards", "3"], "--shards goes with --layer-url"),
        (["--settings", "s", "--shards", "3"], "--shards goes with --layer-url"),
        (["--layer-url", "redis://h", "--routing", "a.b", "--shards", "three"], "invalid int value: 'three'"),
        (["--settings", "s", "--threads", "0"], "from 1 to 10,000 is wanted, not '0'"),
        (["--settings", "s", "--threads", "many"], "from 1 to 10,000 is wanted, not 'many'"),
        (["--settings", "s", "--shutdown-timeout", "nan"], "from 0 to 1,000,000 is wanted, not 'nan'"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_usage_errors_exit_with_2(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    with pytest.raises(SystemExit) as caught:
        cli.main(flags)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"--routing": "tests.support.workers.consumers.nothing"}, "tests.support.workers.consumers.nothing"),
        ({"--routing": "nowhere"}, "write it as module.name"),
        ({"--routing": f"{__name__}.wrong_names"}, "in the routing, 'x!y' cannot be received from"),
        ({"--layer-url": "http://user:hunter2@h"}, "http"),
        ({"--shards": "0"}, "shards must be a whole number from 1 to 4096, not 0"),
        ({"--shards": "3", "--layer-url": "redis://user:hunter2@h/3"}, "a Redis Cluster has the database 0 only"),
        ({"--shards": "3", "--layer-url": "unix:///x"}, "by host and port only"),
        ({"--shards": "3", "--prefix": "{a}"}, "without braces"),
        ({"--layer-url-file": "/no/such/file", "--layer-url": None}, "cannot read the --layer-url-file"),
        ({"--layer-url-file": "/dev/null", "--layer-url": None}, "/dev/null is empty"),
        ({"--layer": "tests.support.workers.consumers:nothing", "--layer-url": None}, "cannot import channel layer"),
        (
            {"--layer": "tests.support.workers.consumers:routing", "--layer-url": None},
            "no channel layer that a worker can",
        ),
        ({"--layer": "tests.support.workers.consumers:reply", "--layer-url": None}, "missing 1 required positional"),
        ({"--layer": "asgi_redis:InMemoryChannelLayer", "--layer-url": None}, "within one process only"),
        ({"--only-channels": "no.such.*"}, "no channels to listen on"),
    ],
)
def test_a_wrong_configuration_exits_with_1_and_one_line(
    changed: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_redis.integrations.django._registered", {})
    flags: dict[str, Any] = {
        "--layer-url": "redis://127.0.0.1:1",
        "--routing": "tests.support.workers.consumers.routing",
        **changed,
    }
    assert cli.main([word for pair in flags.items() if pair[1] for word in pair]) == 1
    error = capsys.readouterr().err
    assert error.startswith("runworker: error: ")
    assert error.count("\n") == 1
    assert complaint in error
    assert "hunter2" not in error
