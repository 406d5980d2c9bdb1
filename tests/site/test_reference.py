"""The reference as it is built: names, options, flags and exceptions, from the declarations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import asgi_redis
import workers
from asgi_redis import aio
from asgi_redis.layers.options import RedisOptions, declarations

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # the first test waits for the build of the site


@pytest.fixture(scope="module")
def names(site: Path) -> dict[str, set[str]]:
    """The names that other pages may refer to, by kind."""
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        return {kind: set(found) for kind, found in InventoryFile.load(file, "", lambda _, path: path).items()}


def text_of(site: Path, page: str) -> str:
    return (site / "reference" / f"{page}.html").read_text()


def test_every_name_of_the_packages_can_be_referred_to(names):
    found = set().union(*(names[kind] for kind in names if kind.startswith("py:")))
    for package in (asgi_redis, workers, aio):
        missing = {name for name in package.__all__ if f"{package.__name__}.{name}" not in found}
        # Errors have their place in the modules of errors.
        assert missing <= {"ChannelFull", "MessageTooLarge"}


def test_options_and_flags_can_be_referred_to(names):
    assert set(declarations(RedisOptions)) < names["std:confval"]
    assert {"runworker.--threads", "asgi-redis-ping.--url"} <= names["std:cmdoption"]


def test_a_constructor_shows_its_options(site):
    page = text_of(site, "layers")
    start = page.index('id="asgi_redis.RedisChannelLayer"')
    signature = page[start : page.index("</dt>", start)]
    assert [name for name in declarations(RedisOptions) if f">{name}<" not in signature] == []


def test_the_tree_nests_exceptions_below_their_bases(site):
    tree = text_of(site, "exceptions").partition('id="the-tree"')[2].partition("</section>")[0]
    below = tree.partition("asgi_redis.exceptions.ConfigurationError")[2].partition("</ul>")[0]
    assert "asgi_redis.exceptions.InvalidChannelLayerError" in below
    assert "ValueError" in below


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (".. layer-options:: asgi_redis.layers.options.CommonOptions\n\n   :colour: Red.\n", "there is no colour"),
        (".. command-flags:: workers.command.cli:make_parser\n   :only: colour\n", "no flag colour"),
        (".. exit-codes::\n\n   :7: Never.\n", "there is no 7"),
    ],
)
def test_a_name_that_is_not_declared_is_an_error(site, tmp_path, text, complaint):
    extensions = ROOT / "docs" / "extensions"
    (tmp_path / "conf.py").write_text(f"import sys\nsys.path[:0] = [{str(extensions)!r}, {str(ROOT)!r}]\n")
    (tmp_path / "index.rst").write_text(f"Title\n=====\n\n{text}")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "-D",
        "extensions=declarations",
        tmp_path,
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert complaint in done.stderr
