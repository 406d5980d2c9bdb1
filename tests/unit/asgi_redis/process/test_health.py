"""The command ``asgi-redis health``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asgi_redis import __main__
from asgi_redis.process.heartbeat import beat


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "heartbeat")


def test_it_exits_with_0_and_says_nothing_or_with_1_and_a_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["health", "--heartbeat", path]) == 1
    assert capsys.readouterr() == (
        "",
        f"asgi-redis: cannot read the heartbeat file: [Errno 2] No such file or directory: '{path}'\n",
    )
    beat(path, ready=False)
    assert __main__.main(["health", "--heartbeat", path, "--max-age", "10"]) == 0
    assert capsys.readouterr() == ("", "")
    assert __main__.main(["health", "--heartbeat", path, "--ready"]) == 1
    assert capsys.readouterr() == ("", f"asgi-redis: {path} has a heartbeat, but does not say ready\n")
    beat(path, ready=True)
    assert __main__.main(["health", "--heartbeat", path, "--ready"]) == 0


@pytest.mark.parametrize(
    "flags", [[], *(["--heartbeat", "x", "--max-age", age] for age in ("1", "soon", "nan", "inf"))]
)
def test_wrong_flags_exit_with_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(["health", *flags])
    assert caught.value.code == 2
    complaint = "a number from 2 to 1,000,000 is wanted" if flags else "--heartbeat"
    assert complaint in capsys.readouterr().err


def test_a_probe_imports_nothing_that_takes_time(path: str) -> None:
    """Probes start it every few seconds: redis-py alone would make it several times as slow."""
    beat(path, ready=True)
    code = (
        "import sys; from asgi_redis import __main__; "
        f"assert __main__.main(['health', '--heartbeat', {path!r}, '--ready']) == 0; "
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] in "
        "('asgi_redis', 'workers', 'redis', 'msgpack', 'asyncio', 'socket', 'logging', 'django', 'json', 'rich')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) <= {
        "asgi_redis",
        "asgi_redis.__main__",
        "asgi_redis.exceptions",
        "asgi_redis.process",
        "asgi_redis.process.health",
        "asgi_redis.process.heartbeat",
        "asgi_redis.process.lazy",
        "asgi_redis.process.version",
    }
