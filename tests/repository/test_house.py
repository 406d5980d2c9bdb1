"""The rules of the house: floors, names, sizes and words of the two packages."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import asgi_redis

ROOT = Path(asgi_redis.__file__).parents[1]

# From the lowest floor to the highest. A name stands for the module and for all that is in it, but the two packages
# stand for their __init__ alone.
FLOORS = [
    "asgi_redis.exceptions",
    "asgi_redis.process",
    "asgi_redis.wire",
    "asgi_redis.integrations.opentelemetry",
    "asgi_redis.integrations.traced_calls",
    "asgi_redis.serializers",
    "asgi_redis.connection",
    "asgi_redis.engine",
    "asgi_redis.layers",
    "asgi_redis.aio",
    "asgi_redis.integrations",
    "asgi_redis.interface",
    "asgi_redis.embedded",
    "asgi_redis.monitor",
    "asgi_redis.conformance",
    "asgi_redis.core",
    "asgi_redis.local",
    "asgi_redis.sentinel",
    "asgi_redis.twisted_utils",
    "asgi_redis.apps",
    "asgi_redis.__main__",
    "asgi_redis",
    "workers.exceptions",
    "workers.signals",
    "workers.importing",
    "workers.utils",
    "workers.loops",
    "workers.channel",
    "workers.message",
    "workers.routing",
    "workers.asgi",
    "workers.sessions",
    "workers.auth",
    "workers.generic",
    "workers.binding",
    "workers.security",
    "workers.runtime",
    "workers.handler",
    "workers.staticfiles",
    "workers.delay",
    "workers.worker",
    "workers.operations",
    "workers.compat",
    "workers.monitor",
    "workers.test",
    "workers.command",
    "workers.apps",
    "workers.management",
    "workers",
    "workers.__main__",
    "asgi_redis.runworker",
]
ALIASES = {"core.py", "local.py", "sentinel.py", "twisted_utils.py"}  # modules of asgi_redis 1.4.3
MODULES_OF_CHANNELS_1 = {
    "__init__",
    *("apps", "asgi", "auth", "binding", "channel", "delay", "exceptions", "generic", "handler", "management"),
    *("message", "routing", "security", "sessions", "signals", "staticfiles", "test", "utils", "worker"),
}
# Blocking and asynchronous.
SAME_NAME_BY_CONTRACT = {"RedisChannelLayer", "RedisClusterChannelLayer", "RedisPubSubChannelLayer"}
OF_TIME = (
    "TIMEOUT|PATIENCE|DELAY|INTERVAL|PAUSE|_AGE|WAIT|LATE|TTL|EXPIRY|RETRY|GIVE_UP|AGAIN|FRESH|TICK|WITHIN|LEASE"
)
# Words that make a sentence a riddle.
RIDDLES = (
    r"whoever|whichever|nobody|somebody|anybody|the one that|one that|those that|those who|of its own|of their own|"
    r"what (?:is|are|was|has|a|the)|to be told|told of|is told|beside"
)


def parse(package: str) -> dict[str, ast.Module]:
    """Return the syntax trees of a package's modules by their names."""
    trees = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        trees[re.sub(r"\.__init__$", "", name)] = ast.parse(path.read_text())
    return trees


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax trees of both packages; each process that only collects this file does without."""
    return {**parse("asgi_redis"), **parse("workers")}


def imports(module: str) -> set[str]:
    """Return the modules of the two packages that a module imports, lazily and for type checkers, too."""
    found = set()
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in trees() else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & trees().keys()) - {module}


def floor(module: str) -> int:
    """Return the number of the floor that a module is on."""
    if module not in FLOORS:
        rooms = [name for name in FLOORS if "." in name and module.startswith(f"{name}.")]
        assert rooms, f"{module} is on no floor"
        module = max(rooms, key=len)
    return FLOORS.index(module)


def functions():
    """Yield each function with its module."""
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield module, node


def docstring_lines(node: ast.AST) -> int:
    """Return the number of lines that the docstring of a function takes."""
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return first.end_lineno - first.lineno + 1


def test_no_module_imports_one_of_a_higher_floor():
    upwards = [f"{one} imports {other}" for one in trees() for other in imports(one) if floor(other) > floor(one)]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: imports(module) for module in trees()}
    while True:
        leaves = {module for module, others in graph.items() if not others & graph.keys()}
        if not leaves:
            break
        graph = {module: others for module, others in graph.items() if module not in leaves}
    assert sorted(graph) == [], "in a circle, or above one"


def test_no_module_imports_a_private_name_of_another():
    private = [
        f"{module} imports {node.module}.{alias.name}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and f"{node.module}".partition(".")[0] in ("asgi_redis", "workers")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert private == []


def top_of(package: str) -> set[str]:
    return {path.name for path in (ROOT / package).iterdir() if path.name != "__pycache__"}


def test_the_packages_have_few_entries_at_their_tops():
    assert len(top_of("asgi_redis") - ALIASES) <= 18
    others = {name for name in top_of("workers") if name.partition(".")[0] not in MODULES_OF_CHANNELS_1}
    assert len(others) <= 9, others


def test_no_function_is_longer_than_40_lines():
    long = [
        f"{module}.{node.name}"
        for module, node in functions()
        if node.end_lineno - node.lineno + 1 - docstring_lines(node) > 40
    ]
    assert long == []


def test_no_class_name_stands_twice():
    homes = defaultdict(list)
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module)
    twice = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert {name: modules for name, modules in twice.items() if name not in SAME_NAME_BY_CONTRACT} == {}


def constants():
    """Yield the module, the name and the line of each constant that is a number, or some."""
    for module, tree in trees().items():
        path = ROOT / (module.replace(".", "/") + ".py")
        lines = (path if path.exists() else path.with_suffix("") / "__init__.py").read_text().split("\n")
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            values = [
                one.value for one in ast.walk(getattr(node, "value", None) or node) if isinstance(one, ast.Constant)
            ]
            if values and all(type(value) in (int, float) for value in values):
                for target in targets:
                    if isinstance(target, ast.Name) and target.id.isupper():
                        yield module, target.id, lines[node.lineno - 1]


def test_constants_of_time_carry_their_unit():
    without = [
        f"{module}.{name}"
        for module, name, line in constants()
        if (re.search(OF_TIME, name) or re.search(r"# .*seconds", line))
        and not re.search(r"_(SECONDS|MILLISECONDS)$|_PER_", name)
    ]
    assert without == []


def prose():
    """Yield the module, the line and the text of each docstring and comment."""
    for module, tree in trees().items():
        path = ROOT / (module.replace(".", "/") + ".py")
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    yield module, getattr(node, "lineno", 1), text
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type == tokenize.COMMENT and "noqa" not in token.string:
                yield module, token.start[0], token.string


def test_the_first_line_of_a_docstring_has_80_characters_at_most():
    long = [f"{module}:{line}" for module, line, text in prose() if text[0] != "#" and len(text.split("\n")[0]) > 80]
    assert long == []


def test_docstrings_and_comments_have_no_riddles():
    found = [
        f"{module}:{line}: {riddle[0]}"
        for module, line, text in prose()
        if (riddle := re.search(rf"\b(?:{RIDDLES})\b|^See ``\S+``\.$", text, re.IGNORECASE))
    ]
    assert found == []


@pytest.mark.parametrize("package", ["asgi_redis", "workers"])
def test_a_file_over_300_lines_says_why(package):
    long = Counter()
    for path in (ROOT / package).rglob("*.py"):
        lines = path.read_text().split("\n")
        if len(lines) > 301 and "over 300 lines" not in "\n".join(lines[:40]):
            long[str(path.relative_to(ROOT))] = len(lines)
    assert long == {}
