"""The reference of the site: it has every public name, option and flag, and its examples work."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import pkgutil
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

import asgi_redis
import workers
from asgi_redis import aio
from asgi_redis.__main__ import make_parser as make_asgi_redis_parser
from asgi_redis.connection.host import ConnectionLimits
from asgi_redis.connection.hosts import DEFAULTS
from asgi_redis.interface import Interface
from asgi_redis.interface.options import InterfaceOptions
from asgi_redis.layers.options import Option, declarations
from tests.support.documents.pages import Page
from workers.command.cli import make_parser as make_runworker_parser
from workers.runtime.stopping import ExitCode

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = {path.stem: path.read_text() for path in REFERENCE.glob("*.rst")}
LAYERS = [
    getattr(module, name)
    for module in (asgi_redis, aio)
    for name in module.__all__
    if name.endswith("ChannelLayer") and name != "AsyncChannelLayer"
]


class Directive(NamedTuple):
    argument: str
    options: Mapping[str, str]
    fields: Mapping[str, str]


def directives(page: str, name: str) -> Iterator[Directive]:
    """Yield the directives of a name, with their options, and the fields of their contents."""
    for found in re.finditer(rf"^\.\. {name}:: *(.*)\n((?:   .*\n)*)((?:\n|   .*\n)*)", PAGES[page], re.MULTILINE):
        yield Directive(found[1], fields_of(found[2]), fields_of(found[3]))


def fields_of(text: str) -> dict[str, str]:
    fields = re.findall(r"^   :([\w-]+): *(.*(?:\n(?:      .*|))*)", text, re.MULTILINE)
    return {name: " ".join(value.split()) for name, value in fields}


# Options


def declared_by(layer: type) -> dict[str, Option]:
    """The options that a constructor shows, as they are declared."""
    kind = layer.__init__.__annotations__["options"]
    module = inspect.getmodule(layer.__init__)
    return declarations(getattr(module, re.fullmatch(r"Unpack\[(\w+)\]", kind)[1]))


def options_of_page(page: str) -> list[tuple[str, Option]]:
    shown: list[tuple[str, Option]] = []
    for directive in directives(page, "layer-options"):
        module, _, kind = directive.argument.rpartition(".")
        declared = declarations(getattr(importlib.import_module(module), kind))
        names = directive.options["only"].split() if "only" in directive.options else declared
        shown += [(name, declared[name]) for name in names if (name, declared[name]) not in shown]
    return shown


NEEDED = {
    "RedisClusterChannelLayer": {"shards": 2},
    "RedisSentinelChannelLayer": {"hosts": [("127.0.0.1", 1)], "services": ["mymaster"]},
}
TOGETHER = {"port": {"host": "redis-1"}, "db": {"host": "redis-1"}, "stats_prefix": {"prefix": "mysite:"}}


def test_the_page_has_every_option_of_every_layer():
    shown = options_of_page("options")
    declared = [entry for layer in LAYERS for entry in declared_by(layer).items()]
    assert len(declared) > 100
    assert [name for name, option in declared if (name, option) not in shown] == []


def test_the_page_of_the_interface_has_every_option():
    assert dict(options_of_page("interface")) == declarations(InterfaceOptions)


@pytest.mark.parametrize("layer_class", LAYERS, ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_the_example_of_each_option_makes_a_layer(layer_class, tmp_path):
    for name, option in declared_by(layer_class).items():
        assert option.example, f"{name} has no example"
        value = eval(option.example.replace("/run/mysite", str(tmp_path)), {})
        assert value != option.default, f"the example of {name} is its default"
        given = {**NEEDED.get(layer_class.__name__, {}), **TOGETHER.get(name, {}), name: value}
        if name == "address_remap":
            given.update({"shards": 2} if "shards" in declared_by(layer_class) else {"cluster": True})
        if layer_class is asgi_redis.IPCChannelLayer:
            given["path"] = str(tmp_path)
        if layer_class is asgi_redis.RedisLocalChannelLayer and name != "local_layer":
            given["local_layer"] = asgi_redis.InMemoryChannelLayer()
        layer = layer_class(**given)
        assert layer is not None


def test_the_example_of_each_option_makes_an_interface():
    for name, option in declarations(InterfaceOptions).items():
        Interface(**{name: eval(option.example)})


def test_the_page_of_the_interface_has_every_status_and_code():
    folder = Path(inspect.getfile(Interface)).parent
    source = "\n".join(path.read_text() for path in folder.glob("*.py"))
    sent = re.findall(r"(?:_answer|_refuse|BodyError)\((\d{3})\b|^[A-Z]\w+ = (1\d{3})$", source, re.MULTILINE)
    section = PAGES["interface"].partition("\nStatuses and codes\n")[2].partition("\n----")[0]
    assert set(re.findall(r"^``(\d+)``$", section, re.MULTILINE)) == {status or code for status, code in sent}


def python_blocks(page: str) -> list[str]:
    return [block.text for block in Page(REFERENCE / f"{page}.rst").blocks("python")]


def test_the_forms_of_hosts_are_forms_of_hosts():
    (block,) = (block for block in python_blocks("options") if block.startswith("hosts = ["))
    scope: dict[str, list[object]] = {}
    exec(block, scope)
    layer = asgi_redis.RedisChannelLayer(hosts=scope["hosts"])
    assert layer.ring_size == len(scope["hosts"]) == 8
    assert "secret" not in str(layer)


def test_the_format_of_the_page_can_be_registered():
    (block,) = (block for block in python_blocks("options") if "register_serializer" in block)
    exec(block, {"__name__": "formats"})
    layer = asgi_redis.InMemoryChannelLayer(serializer_format="pickle")
    layer.send("work", {"set": {1, 2}})
    assert layer.receive(["work"]) == ("work", {"set": {1, 2}})


def test_the_options_of_connections_have_their_defaults_and_examples_that_work():
    text = PAGES["options"]
    shown = dict(re.findall(r"^\.\. confval:: (\w+)\n   :type: .*\n   :default: ``(.*)``", text, re.MULTILINE))
    expected = {**DEFAULTS, **ConnectionLimits._field_defaults, "max_connections": None}
    expected.update({"socket_keepalive": True, "credential_provider": None})
    assert {name: eval(default) for name, default in shown.items()} == expected
    examples = re.findall(r'Example: ``"connection_kwargs": (\{.*\})``', text)
    assert len(examples) == len(expected)
    scope = {}
    exec(re.search(r"with ``(from redis import \w+)``", text)[1], scope)
    for example in examples:
        kwargs = eval(example, scope)
        assert len(kwargs) == 1
        assert set(kwargs) < set(expected)
        asgi_redis.RedisChannelLayer(connection_kwargs=kwargs)


# Commands


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """Yield the words of each command, and its parser."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for name, command in action.choices.items():
            yield from commands(command, (*words, name))
    if not below:
        yield " ".join(words), parser


def flags_of(parser: argparse.ArgumentParser, group: str | None = None) -> dict[str, argparse.Action]:
    groups = [one for one in parser._action_groups if group in (None, one.title)]
    return {
        (flag.option_strings[-1].lstrip("-") if flag.option_strings else flag.dest): flag
        for one in groups
        for flag in one._group_actions
        if not isinstance(flag, argparse._HelpAction)
    }


PARSERS = {"runworker": make_runworker_parser, "asgi_redis": make_asgi_redis_parser}


@pytest.mark.parametrize("page", PARSERS)
def test_the_page_of_a_command_has_every_flag_with_an_example(page):
    shown: dict[str, set[str]] = {}
    known = dict(commands(PARSERS[page]()))
    for directive in directives(page, "command-flags"):
        _, *words = directive.argument.split()
        flags = flags_of(known[" ".join(words)], directive.options.get("group"))
        names = directive.options["only"].split() if "only" in directive.options else list(flags)
        for name in names:
            examples = re.findall(r"``(.*?)``", directive.fields[name].partition("Example: ")[2])
            assert examples, f"{name} has no example"
            spellings = flags[name].option_strings
            assert not spellings or set(shlex.split(examples[0])) & set(spellings), f"{name}: {examples[0]}"
        shown.setdefault(" ".join(words), set()).update(names)
    everywhere = set(flags_of(known["ping"], "the layer")) if page == "asgi_redis" else set()
    for words, parser in known.items():
        assert set(flags_of(parser)) - everywhere - shown[words] == set(), f"flags of {words} are missing"


@pytest.mark.parametrize("page", PARSERS)
def test_the_command_lines_of_the_page_are_right(page, capsys):
    in_console = re.findall(r"^   \$ (.*)", PAGES[page], re.MULTILINE)
    of_flags = re.findall(r"(?:Example:|, or) ``(.*?)``", " ".join(PAGES[page].split()))
    assert len(of_flags) > 20
    for line in [*in_console, *of_flags]:
        found = re.fullmatch(r"(?:(?:python )?manage\.py )?(?:runworker|asgi-redis)(.*)|python -m workers(.*)", line)
        assert found, line
        try:
            PARSERS[page]().parse_args(shlex.split(found[1] or found[2] or ""))
        except SystemExit:
            pytest.fail(f"{line}: {capsys.readouterr().err}")


def test_the_exit_codes_that_the_page_explains_are_codes():
    (directive,) = directives("runworker", "exit-codes")
    assert {int(code) for code in directive.fields} < set(ExitCode)


# Names

INTERNAL = {"workers.signals.sending"}  # the dispatcher's
MODULES_FOR_CONSUMERS = [
    "workers.auth",
    "workers.binding.websockets",
    "workers.exceptions",
    "workers.generic.websockets",
    "workers.security.websockets",
    "workers.sessions",
    "workers.signals",
    "workers.utils",
    "asgi_redis.exceptions",
]


def public_names(module_name: str) -> list[str]:
    """``__all__``, or else what the module defines without an underscore."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, TypeVar)
        and getattr(value, "__module__", None) == module_name
        and f"{module_name}.{name}" not in INTERNAL
    ]


def documented() -> dict[str, object]:
    """The objects that the pages document, by path."""
    paths = set()
    for page, text in PAGES.items():
        explicit = r"^\.\. (?:autoclass|autofunction|autodata|data|class|exception):: ([\w.]+)"
        paths.update(re.findall(explicit, text, re.MULTILINE))
        for directive in directives(page, "error-list"):
            paths.update(f"{directive.argument}.{name}" for name in public_names(directive.argument))
        for directive in directives(page, "automodule"):
            if "members" in directive.options:
                listed = [name for name in re.split(r",\s*", directive.options["members"]) if name]
                paths.update(f"{directive.argument}.{name}" for name in listed or public_names(directive.argument))
    return {path: resolved(path) for path in paths}


def resolved(path: str) -> object:
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(path)


@pytest.fixture(scope="module")
def known():
    pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    return documented()


def packages_with_public_names() -> Iterator[str]:
    """The packages and modules that declare ``__all__`` for others to import."""
    internal = re.compile(
        r"asgi_redis\.(?:connection|engine|wire)\b|asgi_redis\.(?:core|local|sentinel|twisted_utils)$"
    )
    for package in (asgi_redis, workers):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            path = Path(found.module_finder.path) / found.name.rpartition(".")[2]
            source = path / "__init__.py" if found.ispkg else path.with_suffix(".py")
            if re.search(r"^__all__ =", source.read_text(), re.MULTILINE) and not internal.match(found.name):
                yield found.name


def test_every_name_that_a_package_exports_is_on_a_page(known):
    packages = list(packages_with_public_names())
    assert {"asgi_redis", "asgi_redis.aio", "asgi_redis.interface", "workers", "workers.test"} <= set(packages)
    exported = [f"{package}.{name}" for package in packages for name in public_names(package)]
    assert len(exported) > 40
    assert [path for path in exported if not is_known(path, known)] == []


@pytest.mark.parametrize("module", MODULES_FOR_CONSUMERS)
def test_every_name_of_a_module_for_consumers_is_on_a_page(known, module):
    names = public_names(module)
    assert names
    assert [name for name in names if not is_known(f"{module}.{name}", known)] == []


def is_known(path: str, known: Mapping[str, object]) -> bool:
    value = resolved(path)
    return any(value is other for other in known.values()) if not isinstance(value, str) else path in known


def imports_of_texts() -> Iterator[tuple[str, str]]:
    """Yield the paths that code in the documents and examples imports, each with its file."""
    for path in [*ROOT.glob("docs/**/*.rst"), *ROOT.glob("*.rst"), *ROOT.glob("examples/**/*.py")]:
        for line in re.findall(
            r"^ *(from (?:asgi_redis|workers)\b[\w.]* import [\w, ]+)", path.read_text(), re.MULTILINE
        ):
            (statement,) = ast.parse(line.strip()).body
            for alias in statement.names:
                yield f"{statement.module}.{alias.name}", str(path.relative_to(ROOT))


def test_every_name_that_the_documents_and_examples_import_is_on_a_page(known):
    found = list(imports_of_texts())
    assert len(found) > 40
    modules = {name for name, _ in found if inspect.ismodule(resolved(name))}
    assert sorted({(name, file) for name, file in found if name not in modules and not is_known(name, known)}) == []


def test_what_the_pages_document_has_docstrings(known):
    bare = [
        path
        for path, value in known.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]
    assert bare == []
