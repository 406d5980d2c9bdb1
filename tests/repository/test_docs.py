"""The documents: valid, with pictures that are there and of today's text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [
    *sorted(ROOT.glob("*.rst")),
    *sorted(ROOT.glob("examples/*/README.rst")),
    ROOT / "benchmarks" / "README.rst",
]
CONTRIBUTING = (ROOT / "CONTRIBUTING.rst").read_text()
LAYERS = ["redis", "shards", "sentinel", "cluster", "local", "ipc", "memory"]
PICTURES = [*LAYERS, "overview", "frame", "floors", "plan", "slot"]


def test_the_pictures_are_those_of_the_text(tmp_path):
    subprocess.run([sys.executable, DOCS / "pictures" / "topologies.py", tmp_path], check=True)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(drawn) == sorted(f"topology-{name}.svg" for name in PICTURES)
    for name, picture in drawn.items():
        assert (DOCS / "pictures" / name).read_text() == picture, f"{name} is an old one: run topologies.py"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
class TestDocument:
    """A document that is read where it lies; the build of the site looks at its pages."""

    def test_every_file_that_it_shows_or_links_is_there(self, document):
        text = document.read_text()
        paths = re.findall(r"image:: ((?!http)\S+)", text) + re.findall(r"<((?!http)[\w./-]+)>`_", text)
        assert [path for path in paths if not (document.parent / path).exists()] == []

    def test_it_is_valid(self, document):
        core = pytest.importorskip("docutils.core")
        settings = {"halt_level": 2, "report_level": 2, "file_insertion_enabled": False}
        core.publish_doctree(document.read_text(), source_path=str(document), settings_overrides=settings)


@pytest.mark.parametrize("name", [str(path.relative_to(ROOT)) for path in [*DOCUMENTS, *ROOT.glob("docs/**/*.rst")]])
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


def test_every_link_of_the_site_to_a_file_of_the_repository_leads_to_one():
    links = [
        (page.name, re.sub(r"\s+", " ", link).rpartition("<")[2].rstrip(">"))
        for page in DOCS.glob("**/*.rst")
        for link in re.findall(r":source:`([^`]+)`", page.read_text())
    ]
    assert len(links) > 10
    assert [(page, path) for page, path in links if not (ROOT / path).exists()] == []


def test_every_path_that_contributing_names_is_there():
    folders = "asgi_redis|workers|tests|layers|engine|connection|aio|wire"
    paths = re.findall(rf"``((?:{folders})/[\w/.]*\w)``", CONTRIBUTING)
    assert len(paths) > 30
    assert [path for path in paths if not any((ROOT / base / path).exists() for base in ("", "asgi_redis"))] == []


def test_contributing_has_the_two_commands_of_the_readme():
    commands = re.findall(r"^    python3 -m venv .*", (ROOT / "README.rst").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert [command for command in commands if command not in CONTRIBUTING] == []
