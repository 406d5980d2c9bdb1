"""What ``python -m workers`` is told: flags that are refused, the project, its logging, passwords."""

from __future__ import annotations

import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from asgi_redis.embedded import RedisServer
from tests.waiting import eventually
from tests.workers.processes import MODULE, WorkerProcess
from workers import cli


def test_passwords_are_not_logged(acl_server: RedisServer, tmp_path: Path, prefix: str) -> None:
    url = acl_server.url.replace("://", "://alice:hunter2@")
    command = [*MODULE, "-v2", "--layer-url", url, "--routing", "tests.workers.consumers.routing"]
    with WorkerProcess(command, tmp_path) as worker:
        eventually(lambda: "does not serve messages" in worker.log, timeout=20)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert "hunter2" not in worker.log


def test_the_project_is_found_in_the_current_directory(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from workers import route\nrouting = [route('orders', print)]\n")
    script = "import sys; sys.path.pop(0); from workers.cli import main; sys.exit(main())"
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
        ([], "either --layer-url and --routing"),
        (["--layer-url", "redis://h"], "needs a --routing"),
        (["--layer-url", "redis://h", "--routing", "a.b", "--settings", "s"], "give one of it and --settings"),
        (["--layer-url", "redis://h", "--routing", "a.b", "--layer", "other"], "give one of it and --layer-url"),
        (["--settings", "s", "--prefix", "p"], "--prefix goes with --layer-url"),
        (["--settings", "s", "--threads", "0"], "at least 1 is wanted, not '0'"),
        (["--settings", "s", "--threads", "many"], "at least 1 is wanted, not 'many'"),
        (["--settings", "s", "--shutdown-timeout", "nan"], "at least 0 is wanted, not 'nan'"),
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
        ({"--routing": "tests.workers.consumers.nothing"}, "tests.workers.consumers.nothing"),
        ({"--routing": "nowhere"}, "write it as module.name"),
        ({"--layer-url": "http://user:hunter2@h"}, "http"),
        ({"--only-channels": "no.such.*"}, "no channels to listen on"),
    ],
)
def test_a_wrong_configuration_exits_with_1_and_one_line(
    changed: dict[str, str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.layers._registered", {})
    flags: dict[str, Any] = {
        "--layer-url": "redis://127.0.0.1:1",
        "--routing": "tests.workers.consumers.routing",
        **changed,
    }
    assert cli.main([word for pair in flags.items() for word in pair]) == 1
    error = capsys.readouterr().err
    assert error.startswith("runworker: error: ")
    assert error.count("\n") == 1
    assert complaint in error
    assert "hunter2" not in error
