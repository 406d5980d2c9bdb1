"""The documents: valid, with pictures that are there and of today's text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from asgi_redis.interface.options import InterfaceOptions
from asgi_redis.layers.options import declarations

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.rst",
    ROOT / "CONTRIBUTING.rst",
    ROOT / "docs" / "benchmarks_interface.rst",
    ROOT / "docs" / "layers.rst",
    ROOT / "docs" / "channels4.rst",
    ROOT / "docs" / "interface.rst",
    ROOT / "docs" / "deploys.rst",
    ROOT / "docs" / "options.rst",
    ROOT / "docs" / "own_layer.rst",
    ROOT / "docs" / "porting.rst",
    ROOT / "examples" / "chat" / "README.rst",
    ROOT / "examples" / "classic" / "README.rst",
    ROOT / "benchmarks" / "README.rst",
]
CONTRIBUTING = (ROOT / "CONTRIBUTING.rst").read_text()
PICTURES = ["redis", "shards", "sentinel", "local", "ipc", "memory"]


def test_the_pictures_are_those_of_the_text(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs" / "topologies.py", tmp_path], check=True)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(drawn) == sorted(f"topology-{name}.svg" for name in PICTURES)
    for name, picture in drawn.items():
        assert (ROOT / "docs" / name).read_text() == picture, f"run docs/topologies.py: {name} is an old one"


def test_the_page_of_the_options_is_that_of_the_declarations(tmp_path):
    written = tmp_path / "options.rst"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, ROOT / "docs" / "options.py", written], check=True, env=environment)
    assert (ROOT / "docs" / "options.rst").read_text() == written.read_text(), "run docs/options.py"


def test_the_page_of_the_interface_has_each_option_with_its_default():
    text = (ROOT / "docs" / "interface.rst").read_text()
    shown = dict(re.findall(r"^   \* - ``(\w+)``\n     - ([\d.]+)\n", text, re.MULTILINE))
    assert shown == {name: str(option.default) for name, option in declarations(InterfaceOptions).items()}


def test_the_page_of_an_own_layer_shows_the_example_which_has_sixty_lines():
    _, code = (ROOT / "examples" / "toy_layer.py").read_text().split("\n\n", 1)
    assert textwrap.indent(code, "    ") in (ROOT / "docs" / "own_layer.rst").read_text()
    assert len([line for line in code.split("\n") if line and '"""' not in line]) <= 60


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
class TestDocument:
    def test_every_file_that_it_shows_or_links_is_there(self, document):
        text = document.read_text()
        paths = re.findall(r"image:: (\S+)", text) + re.findall(r"<((?!http)[\w./-]+)>`_", text)
        assert [path for path in paths if not (document.parent / path).exists()] == []

    def test_it_is_valid(self, document):
        core = pytest.importorskip("docutils.core")
        settings = {"halt_level": 2, "report_level": 2, "file_insertion_enabled": False}
        core.publish_doctree(document.read_text(), source_path=str(document), settings_overrides=settings)


@pytest.mark.parametrize(
    "name",
    [str(path.relative_to(ROOT)) for path in DOCUMENTS],
)
def test_prose_is_not_wider_than_118_characters(name):
    in_table, wide = False, []
    for number, line in enumerate((ROOT / name).read_text().split("\n"), 1):
        if re.fullmatch(r"=+( +=+)+", line):
            in_table = True
        elif not line:
            in_table = False
        if len(line) > 118 and not in_table and "://" not in line:
            wide.append(f"{name}:{number}")
    assert wide == []


def test_every_path_that_contributing_names_is_there():
    folders = "asgi_redis|workers|tests|layers|engine|connection|aio|wire"
    paths = re.findall(rf"``((?:{folders})/[\w/.]*\w)``", CONTRIBUTING)
    assert len(paths) > 30
    assert [path for path in paths if not any((ROOT / base / path).exists() for base in ("", "asgi_redis"))] == []


def test_contributing_has_the_two_commands_of_the_readme():
    commands = re.findall(r"^    python3 -m venv .*", (ROOT / "README.rst").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert [command for command in commands if command not in CONTRIBUTING] == []
