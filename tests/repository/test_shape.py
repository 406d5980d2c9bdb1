"""The floors of the package: each knows only those below it, and optional packages are imported late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_redis

ROOT = Path(asgi_redis.__file__).parent

# What a floor must not import. A name stands for itself and all that is in it.
FORBIDDEN = {
    "scripts.py": ["redis", "asgi_redis", "workers"],
    "exceptions.py": ["redis", "asgi_redis", "workers"],
    "process.py": [
        "redis",
        "asyncio",
        "asgi_redis.layers.base",
        "asgi_redis.connection",
        "asgi_redis.wire",
        "workers",
    ],
    "kept.py": ["redis", "asgi_redis", "workers"],
    "wire": [
        "redis",
        "socket",
        "threading",
        "time",
        "asgi_redis.connection",
        "asgi_redis.layers.redis",
        "asgi_redis.engine.receiver",
        "asgi_redis.engine.sender",
        "workers",
    ],
    "connection": [
        "asyncio",
        "asgi_redis.aio",
        "asgi_redis.layers.redis",
        "asgi_redis.engine.receiver",
        "asgi_redis.engine.sender",
        "workers",
    ],
    "aio": ["workers", "channels_redis"],
    "": ["workers", "asyncio", "channels", "channels_redis"],
}
ELSEWHERE = {"": ["aio", "runworker.py"]}  # what has rules of its own


def imports(path):
    """Yields the name of everything that the file imports, those for type checkers only left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_imports_run_one_way(floor):
    paths = [ROOT / floor] if floor.endswith(".py") else sorted((ROOT / floor).rglob("*.py"))
    paths = [path for path in paths if path.relative_to(ROOT).parts[0] not in ELSEWHERE.get(floor, [])]
    assert paths
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imports(path)
        for forbidden in FORBIDDEN[floor]
        if name == forbidden or name.startswith(f"{forbidden}.")
    ]
    assert wrong == []


def loaded_after(statement):
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_importing_it_imports_no_optional_package():
    loaded = loaded_after("import asgi_redis; asgi_redis.RedisChannelLayer()")
    assert "asgi_redis.layers.redis" in loaded
    redis_py = loaded_after("import redis.sentinel")  # it imports cryptography, where that is installed
    optional = {"django", "asgiref", "twisted", "cryptography", "channels", "channels_redis", "gevent", "workers"}
    assert loaded & optional - redis_py == set()


def test_importing_it_imports_nothing_else_of_it():
    """The script runworker begins with it, and may have to patch the standard library."""
    loaded = loaded_after("import asgi_redis.runworker")
    assert {name for name in loaded if name.startswith("asgi_redis")} == {"asgi_redis", "asgi_redis.runworker"}
    assert loaded & {"threading", "socket", "redis", "workers"} == set()


def test_modules_that_were_always_there_are():
    for name in ("exceptions.ChannelFull", "serializers.registry", "local.RedisLocalChannelLayer"):
        assert subprocess.run([sys.executable, "-c", f"import asgi_redis; asgi_redis.{name}"]).returncode == 0
