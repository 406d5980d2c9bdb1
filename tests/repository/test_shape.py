"""Imports of the packages: optional dependencies are imported late, and scripts import nothing early."""

from __future__ import annotations

import subprocess
import sys


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
    lazy = {"asgi_redis", "asgi_redis.process", "asgi_redis.process.lazy", "asgi_redis.process.version"}
    assert {name for name in loaded if name.startswith("asgi_redis")} == {*lazy, "asgi_redis.runworker"}
    assert loaded & {"threading", "socket", "redis", "workers"} == set()


def test_a_process_that_only_sends_imports_no_parts_that_few_need():
    """Management commands start often."""
    loaded = loaded_after("import asgi_redis; asgi_redis.RedisChannelLayer()")
    rare = {
        "cluster",
        "cluster_shard",
        "delayed",
        "discovery",
        "inspection",
        "memberships",
        "registry",
        "shards",
        "sweep",
    }
    packages = ("asgi_redis.connection", "asgi_redis.engine", "asgi_redis.wire")
    assert loaded & {f"{package}.{name}" for package in packages for name in rare} == set()
    assert "difflib" not in loaded


def test_the_layers_without_a_server_need_no_redis_py():
    loaded = loaded_after(
        "import asgi_redis\n"
        "layer = asgi_redis.InMemoryChannelLayer()\n"
        "layer.send('a', {})\n"
        "layer.receive(['a'], block=True)\n"
        "asgi_redis.IPCChannelLayer"
    )
    assert "asgi_redis.layers.ipc" in loaded
    assert "redis" not in loaded


def test_modules_that_were_always_there_are():
    for name in ("core.RedisChannelLayer", "exceptions.ChannelFull", "local", "sentinel", "serializers.registry"):
        assert subprocess.run([sys.executable, "-c", f"import asgi_redis; asgi_redis.{name}"]).returncode == 0
