"""The runner of pages of the documentation: it follows them to the letter, and finds what is wrong with them."""

from __future__ import annotations

import pytest

from tests.support.documents import files, terminals
from tests.support.documents.lessons import Lesson
from tests.support.documents.pages import Block, Page, Prose

pytestmark = pytest.mark.native("processes and signals of the system")

PAGE = """\
Say it
======

.. code-block:: console
   :caption: First terminal

   $ mkdir site
   $ cd site
   $ export GREETING=hello

Write the file:

.. code-block:: sh
   :caption: say.sh

   echo $GREETING on :6379 $$
   trap "echo told to end; exit" INT
   while [ $1 ]; do
       if [ -e page ]; then echo the page is open; rm page; fi
       sleep 0.01
   done

Run it:

.. code-block:: console
   :caption: First terminal

   $ sh say.sh
   hello on :6379 ...
   $ sh \\
       say.sh forever
   hello on :6379 ...

.. code-block:: console
   :caption: Second terminal

   $ cd site
   $ ls
   say.sh

Open the page. The first terminal shows:

.. code-block:: console
   :caption: First terminal

   the page is open

Press Ctrl-C:

.. code-block:: console
   :caption: First terminal

   ^C
   told to end
   $ ls -a
   ...
   say.sh
"""


@pytest.fixture
def follow(tmp_path):
    """``follow(text)`` follows a page to its end."""

    def run(text):
        path = tmp_path / "page.rst"
        path.write_text(text)
        with Lesson(path, tmp_path) as lesson:
            lesson.follow_to("Open the page")
            (tmp_path / "reader" / "site" / "page").touch()
            lesson.follow_to_the_end()
            written = (tmp_path / "reader" / "site" / "say.sh").read_text()
            assert written == lesson.page.file("say.sh").replace("6379", str(lesson.redis_port))

    return run


def test_it_follows_a_page(follow):
    follow(PAGE)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("   $ mkdir site\n", "", r"page.rst:7: First terminal: exit code 2"),
        ("hello on :6379 ...", "hello on 6379 ...", r"page.rst:28: First terminal: another output"),
        ("   hello on :6379 ...\n   $ sh", "   $ sh", r"page.rst:28: First terminal: another output"),
        ("   :caption: say.sh\n", "", r"page.rst:15: the caption '' says neither"),
        ("   told to end", "   told to go on", r"page.rst:53: First terminal: another output"),
        ("Open the page.", "Open it.", r"page.rst has no more paragraph with 'Open the page'"),
    ],
)
def test_it_finds_a_fault(follow, old, new, complaint):
    assert old in PAGE
    with pytest.raises(AssertionError, match=complaint):
        follow(PAGE.replace(old, new, 1))


@pytest.fixture
def follow_console(tmp_path):
    """``follow_console(*lines)`` follows a page of one console block."""

    def run(*lines):
        path = tmp_path / "page.rst"
        path.write_text("\n   ".join([".. code-block:: console\n", *lines, ""]))
        with Lesson(path, tmp_path) as lesson:
            lesson.follow_to_the_end()

    return run


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["$ sleep 60"], r"it goes on, and the page shows no \^C after it"),
        (["$ sleep 60", "slept", "^C"], r"not shown within 0.1 s"),
    ],
)
def test_it_does_not_wait_for_ever(follow_console, lines, complaint, monkeypatch):
    monkeypatch.setattr(terminals, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(AssertionError, match=complaint):
        follow_console(*lines)


def test_packages_are_installed_as_they_are_required(follow_console, tmp_path):
    follow_console(
        "$ python3 -m venv .venv",
        "$ . .venv/bin/activate",
        '$ pip install "asgi_redis[ipc]>=2"',
        "Successfully installed asgi_redis-2... lmdb-... msgpack-... redis-...",
        "$ asgi-redis version",
        "asgi_redis ...",
        "...",
    )
    (site_packages,) = tmp_path.glob("reader/.venv/lib/*/site-packages")
    assert {"asgi_redis", "workers", "lmdb", "redis", "msgpack"} <= {path.name for path in site_packages.iterdir()}
    assert not (site_packages / "django").exists()


def test_an_extra_that_is_not_there_is_found_out(follow_console):
    with pytest.raises(AssertionError, match="there is no such extra"):
        follow_console("$ python3 -m venv .venv", "$ . .venv/bin/activate", '$ pip install "asgi_redis[none]>=2"')


class TestFiles:
    MODULE = "import os\n\nA = [\n    1,\n]\n\n\n@decorated\ndef f():\n    return 1\n\n\nB = 2\n"

    @pytest.fixture
    def change(self, tmp_path):
        """``change(caption, code)`` returns the module after it."""

        def run(caption, code):
            (tmp_path / "a.py").write_text(self.MODULE)
            files.apply(caption, code, tmp_path)
            return (tmp_path / "a.py").read_text()

        return run

    def test_a_path_alone_is_a_whole_file(self, change):
        assert change("a.py", "B = 1\n") == "B = 1\n"

    def test_folders_are_made(self, tmp_path):
        files.apply("a/b/c.html", "text\n", tmp_path)
        assert (tmp_path / "a" / "b" / "c.html").read_text() == "text\n"

    def test_a_block_is_added_at_the_end(self, change):
        assert change("a.py (add at the end)", "C = 3\n") == f"{self.MODULE}\nC = 3\n"

    def test_an_assignment_is_replaced(self, change):
        assert change("a.py (replace A)", "A = []\n") == self.MODULE.replace("A = [\n    1,\n]", "A = []")

    def test_a_function_is_replaced_with_its_decorators(self, change):
        new = "def f():\n    return 2"
        assert change("a.py (replace f)", f"{new}\n") == self.MODULE.replace(
            "@decorated\ndef f():\n    return 1", new
        )

    @pytest.mark.parametrize("caption", ["a.py (replace C)", "a.py (change A)", "", "the file"])
    def test_anything_else_is_an_error(self, change, caption):
        with pytest.raises(AssertionError):
            change(caption, "")


def test_a_page_has_prose_and_blocks_with_their_places(tmp_path):
    (tmp_path / "page.rst").write_text(
        "Title\n=====\n\nSome\nprose:\n\n#. A step:\n\n   .. code-block:: python\n      :caption: a.py\n\n"
        "      if x:\n\n          y\n\n   More.\n"
    )
    page = Page(tmp_path / "page.rst")
    assert page.parts == [
        Prose("Title =====", "page.rst:1"),
        Prose("Some prose:", "page.rst:4"),
        Prose("#. A step:", "page.rst:7"),
        Block("python", "a.py", "if x:\n\n    y\n", "page.rst", 12),
        Prose("More.", "page.rst:16"),
    ]
    assert page.file("a.py") == page.blocks("python")[0].text
